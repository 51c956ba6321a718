/* What goes beside the stream of results. A command takes effect once, by its issuer and number; STOP comes before
   everything. */
#include "../include/edge_wbc_control.h"

#define MESSAGES                                                                                                     \
    (EWBC_CAPABILITY_COMMAND | EWBC_CAPABILITY_EVENT | EWBC_CAPABILITY_HEARTBEAT | EWBC_CAPABILITY_TIME_SYNC |       \
     EWBC_CAPABILITY_LOG)
#define EVENT_PERIOD_MS 250u
#define LOG_BYTES (EWBC_MAX_PAYLOAD - EWBC_LOG_SIZE)

static ewbc_control_state *state_of(const ewbc_link *link)
{
    return link->device->control->state;
}

static bool runs(const ewbc_control_state *state)
{
    return state->known && state->status == EWBC_STATUS_RUNNING;
}

static bool host_knows(const ewbc_link *link, uint16_t capability)
{
    return link->connection != 0 && (state_of(link)->host_capabilities & capability) != 0;
}

static void put_done(const ewbc_control_state *state, uint8_t *payload)
{
    EWBC_PUT_COMMAND_DONE_ISSUER(payload, state->last.issuer);
    EWBC_PUT_COMMAND_DONE_NUMBER(payload, state->last.number);
    EWBC_PUT_COMMAND_DONE_STATUS(payload, state->status);
    EWBC_PUT_COMMAND_DONE_DETAIL(payload, state->detail);
}

/* Everything stops, whether a command runs or not. */
static void halt(ewbc_link *link, uint8_t status)
{
    ewbc_link_command_done(link, status, 0);
    link->device->control->stop(link->context);
}

static void stop(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out)
{
    ewbc_control_state *state = state_of(link);
    const uint16_t issuer = EWBC_GET_STOP_ISSUER(frame->payload), number = EWBC_GET_STOP_NUMBER(frame->payload);
    const uint16_t ahead = (uint16_t)(number - state->last.number);
    uint8_t i;

    halt(link, EWBC_STATUS_STOPPED);
    if (number != 0 && (!state->known || (issuer == state->last.issuer && ahead != 0 && ahead < 0x8000u))) {
        /* a command held back under way is over before it comes; 0: that program has given none yet */
        state->known = true;
        state->last.issuer = issuer;
        state->last.number = number;
        state->status = EWBC_STATUS_STOPPED;
        state->detail = 0;
    }
    for (i = 0; i < EWBC_STOP_SIZE; i++) {
        out->payload[i] = frame->payload[i];
    }
    out->type = EWBC_TYPE_STOP;
    out->length = EWBC_STOP_SIZE;
}

static void command(ewbc_link *link, const uint8_t *payload, ewbc_answer *out)
{
    const ewbc_control *control = link->device->control;
    ewbc_control_state *state = control->state;
    const uint16_t issuer = EWBC_GET_COMMAND_ISSUER(payload), number = EWBC_GET_COMMAND_NUMBER(payload);
    const uint16_t ahead = (uint16_t)(number - state->last.number);
    const bool same_issuer = state->known && issuer == state->last.issuer;
    uint8_t i;

    if (same_issuer && ahead >= 0x8000u) {
        return; /* held back under way */
    }
    out->type = EWBC_TYPE_COMMAND_DONE;
    out->length = EWBC_COMMAND_DONE_SIZE;
    if (!(same_issuer && ahead == 0)) {
        if (runs(state)) {
            EWBC_PUT_COMMAND_DONE_ISSUER(out->payload, issuer);
            EWBC_PUT_COMMAND_DONE_NUMBER(out->payload, number);
            EWBC_PUT_COMMAND_DONE_STATUS(out->payload, EWBC_STATUS_BUSY);
            EWBC_PUT_COMMAND_DONE_DETAIL(out->payload, 0);
            return;
        }
        state->known = true;
        state->began_ms = state->now_ms;
        state->detail = 0;
        state->last.issuer = issuer;
        state->last.number = number;
        state->last.opcode = EWBC_GET_COMMAND_OPCODE(payload);
        state->last.deadline_ms = EWBC_GET_COMMAND_DEADLINE_MS(payload);
        for (i = 0; i < 3; i++) {
            state->last.arguments[i] = (int32_t)ewbc_get32(payload + EWBC_COMMAND_ARGUMENT_1_AT + 4u * i);
        }
        state->status = EWBC_STATUS_EXPIRED;
        if (state->last.deadline_ms != 0) {
            int32_t detail = 0;
            uint8_t status;

            state->status = EWBC_STATUS_RUNNING;
            status = control->begin(link->context, &state->last, &detail);
            if (state->status == EWBC_STATUS_RUNNING) { /* else it told its end from within */
                state->status = status;
                state->detail = detail;
            }
        }
    }
    put_done(state, out->payload);
}

static void heartbeat(const ewbc_link *link, ewbc_answer *out)
{
    const ewbc_control *control = link->device->control;
    const ewbc_decoder *decoder = &link->decoder;
    const uint32_t overruns = control->overruns != NULL ? control->overruns(link->context) : 0;

    EWBC_PUT_HEARTBEAT_UPTIME_MS(out->payload, control->state->now_ms);
    EWBC_PUT_HEARTBEAT_FRAMES(out->payload, decoder->frames);
    EWBC_PUT_HEARTBEAT_CRC_ERRORS(out->payload, decoder->crc_errors);
    EWBC_PUT_HEARTBEAT_DROPPED(out->payload, decoder->malformed + decoder->oversize);
    EWBC_PUT_HEARTBEAT_OVERRUNS(out->payload, overruns);
}

/* What the core hands on: a HELLO that it has answered, a STOP of any connection, and every type of the present
   connection that it does not know itself. Returns 0, or the EWBC_NAK_… reason. */
uint8_t ewbc_control_receive(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out)
{
    static const uint8_t sizes[] = {
        [EWBC_TYPE_ACK] = EWBC_ACK_SIZE,
        [EWBC_TYPE_HEARTBEAT] = EWBC_HEARTBEAT_SIZE,
        [EWBC_TYPE_TIME_SYNC] = EWBC_TIME_SYNC_SIZE,
        [EWBC_TYPE_STOP] = EWBC_STOP_SIZE,
        [EWBC_TYPE_COMMAND] = EWBC_COMMAND_SIZE,
    };
    ewbc_control_state *state = state_of(link);
    const uint8_t type = frame->type;
    uint8_t size, i;

    if (type == EWBC_TYPE_HELLO) {
        state->host_capabilities = (uint16_t)EWBC_GET_HELLO_CAPABILITIES(frame->payload);
        EWBC_PUT_HELLO_ACK_CAPABILITIES(out->payload, (uint32_t)MESSAGES | link->device->control->commands);
        return 0;
    }
    size = type < sizeof sizes ? sizes[type] : 0;
    if (size == 0) {
        return EWBC_NAK_UNSUPPORTED;
    }
    if (frame->length != size) {
        return frame->connection == link->connection ? EWBC_NAK_MALFORMED : 0;
    }
    if (type == EWBC_TYPE_STOP) {
        stop(link, frame, out);
    } else if (type == EWBC_TYPE_COMMAND) {
        command(link, frame->payload, out);
    } else if (type == EWBC_TYPE_ACK) {
        if (EWBC_GET_ACK_SEQ(frame->payload) == state->event_number) {
            state->event_waits = false;
        }
    } else {
        out->type = type;
        out->length = size;
        if (type == EWBC_TYPE_HEARTBEAT) {
            heartbeat(link, out);
        } else {
            for (i = 0; i < EWBC_TIME_SYNC_RECEIVED_MS_AT; i++) {
                out->payload[i] = frame->payload[i];
            }
            EWBC_PUT_TIME_SYNC_RECEIVED_MS(out->payload, state->now_ms);
            EWBC_PUT_TIME_SYNC_SENT_MS(out->payload, state->now_ms);
        }
    }
    return 0;
}

void ewbc_link_command_done(ewbc_link *link, uint8_t status, int32_t detail)
{
    ewbc_control_state *state = state_of(link);

    if (runs(state)) {
        state->status = status;
        state->detail = detail;
        state->untold = true;
    }
}

bool ewbc_link_event(ewbc_link *link, uint8_t event, uint8_t source, int32_t value)
{
    ewbc_control_state *state = state_of(link);

    if (state->event_waits) {
        return false;
    }
    state->event_waits = true;
    state->event_number++;
    state->event = event;
    state->event_source = source;
    state->event_value = value;
    state->event_ms = state->now_ms;
    state->event_sent_ms = state->now_ms - EVENT_PERIOD_MS;
    return true;
}

/* Send what is no answer; the payload stands at out + EWBC_PAYLOAD_AT. */
static void tell(ewbc_link *link, uint8_t *out, uint8_t type, uint32_t seq, uint8_t length)
{
    link->device->write(link->context, out, ewbc_encode(out, type, link->connection, seq, length));
}

void ewbc_link_log(ewbc_link *link, uint8_t level, const char *text)
{
    uint8_t out[EWBC_MAX_FRAME], *payload = out + EWBC_PAYLOAD_AT;
    uint8_t length = 0;

    if (!host_knows(link, EWBC_CAPABILITY_LOG)) {
        return;
    }
    EWBC_PUT_LOG_LEVEL(payload, level);
    while (length < LOG_BYTES && text[length] != 0) {
        payload[EWBC_LOG_TEXT_AT + length] = (uint8_t)text[length];
        length++;
    }
    while (length != 0 && ((uint8_t)text[length] & 0xC0u) == 0x80u) {
        length--; /* no half of a character */
    }
    tell(link, out, EWBC_TYPE_LOG, 0, (uint8_t)(EWBC_LOG_SIZE + length));
}

void ewbc_link_tick(ewbc_link *link, uint32_t now_ms)
{
    const uint32_t silence_ms = link->device->control->silence_stop_ms;
    ewbc_control_state *state = state_of(link);
    uint8_t out[EWBC_EVENT_SIZE + EWBC_OVERHEAD], *payload = out + EWBC_PAYLOAD_AT;

    if (state->heard_frames != link->decoder.frames) {
        state->heard_frames = link->decoder.frames;
        state->heard_ms = state->now_ms; /* at the tick before: they came since */
        state->heard = true;
    }
    state->now_ms = now_ms;
    if (runs(state) && now_ms - state->began_ms >= state->last.deadline_ms) {
        halt(link, EWBC_STATUS_EXPIRED);
    }
    if (silence_ms != 0 && state->heard && now_ms - state->heard_ms >= silence_ms) {
        state->heard = false; /* once for each silence */
        halt(link, EWBC_STATUS_STOPPED);
    }
    if (state->untold && host_knows(link, EWBC_CAPABILITY_COMMAND)) {
        state->untold = false;
        put_done(state, payload);
        tell(link, out, EWBC_TYPE_COMMAND_DONE, 0, EWBC_COMMAND_DONE_SIZE);
    }
    if (state->event_waits && host_knows(link, EWBC_CAPABILITY_EVENT) &&
        now_ms - state->event_sent_ms >= EVENT_PERIOD_MS) {
        state->event_sent_ms = now_ms;
        EWBC_PUT_EVENT_EVENT(payload, state->event);
        EWBC_PUT_EVENT_SOURCE(payload, state->event_source);
        EWBC_PUT_EVENT_VALUE(payload, state->event_value);
        EWBC_PUT_EVENT_TIME_MS(payload, state->event_ms);
        tell(link, out, EWBC_TYPE_EVENT, state->event_number, EWBC_EVENT_SIZE);
    }
}
