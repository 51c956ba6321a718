/* The receiver accepts the next sequence number only and remembers the stream and the last one: firmware_bridge's
   delivery.Receiver, in C. */
#include "../include/edge_wbc_control.h"

#define NO_ANSWER 0u

static void copy(uint8_t *to, const uint8_t *from, uint8_t length)
{
    while (length-- != 0) {
        *to++ = *from++;
    }
}

static void ack(const ewbc_link *link, ewbc_answer *out)
{
    EWBC_PUT_ACK_SEQ(out->payload, link->last_seq);
    EWBC_PUT_ACK_WINDOW_BYTES(out->payload, link->device->window_bytes);
    out->type = EWBC_TYPE_ACK;
    out->length = EWBC_ACK_SIZE;
}

static void nak(uint8_t reason, uint32_t expected_seq, ewbc_answer *out)
{
    EWBC_PUT_NAK_REASON(out->payload, reason);
    EWBC_PUT_NAK_EXPECTED_SEQ(out->payload, expected_seq);
    out->type = EWBC_TYPE_NAK;
    out->length = EWBC_NAK_SIZE;
}

static void hello(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out)
{
    const ewbc_device *device = link->device;
    uint8_t *payload = out->payload;

    out->connection = frame->connection;
    if (frame->length != EWBC_HELLO_SIZE || EWBC_GET_HELLO_VERSION_MAJOR(frame->payload) != EWBC_VERSION_MAJOR ||
        EWBC_GET_HELLO_SCHEMA_HASH(frame->payload) != EWBC_SCHEMA_HASH) {
        nak(EWBC_NAK_VERSION, 0, out);
        return;
    }
    link->connection = frame->connection;
    link->ack_due = false; /* the new connection learns the last seq from HELLO_ACK */
    EWBC_PUT_HELLO_ACK_VERSION_MAJOR(payload, EWBC_VERSION_MAJOR);
    EWBC_PUT_HELLO_ACK_VERSION_MINOR(payload, EWBC_VERSION_MINOR);
    EWBC_PUT_HELLO_ACK_CAPABILITIES(payload, 0);
    copy(payload + EWBC_HELLO_ACK_UNIQUE_ID_AT, device->unique_id, EWBC_HELLO_ACK_UNIQUE_ID_LENGTH);
    copy(payload + EWBC_HELLO_ACK_FIRMWARE_VERSION_AT, device->firmware_version,
         EWBC_HELLO_ACK_FIRMWARE_VERSION_LENGTH);
    EWBC_PUT_HELLO_ACK_BOOT_ID(payload, link->boot_id);
    EWBC_PUT_HELLO_ACK_STREAM_ID(payload, link->stream_id);
    EWBC_PUT_HELLO_ACK_LAST_APPLIED_SEQ(payload, link->last_seq);
    EWBC_PUT_HELLO_ACK_WINDOW_BYTES(payload, device->window_bytes);
    EWBC_PUT_HELLO_ACK_LARGEST_PAYLOAD(payload, EWBC_MAX_PAYLOAD);
    EWBC_PUT_HELLO_ACK_PERSISTENCE(payload, device->persistence);
    out->type = EWBC_TYPE_HELLO_ACK;
    out->length = EWBC_HELLO_ACK_SIZE;
    if (device->control != NULL) {
        device->control->receive(link, frame, out);
    }
}

static void new_stream(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out)
{
    uint32_t stream_id;

    if (frame->length != EWBC_NEW_STREAM_SIZE) {
        nak(EWBC_NAK_MALFORMED, link->last_seq + 1u, out);
        return;
    }
    stream_id = EWBC_GET_NEW_STREAM_STREAM_ID(frame->payload);
    if (stream_id != link->stream_id) {
        if (!link->device->start_stream(link->context, stream_id)) {
            return;
        }
        link->stream_id = stream_id;
        link->last_seq = 0;
    }
    ack(link, out);
}

static void sequenced(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out)
{
    const uint32_t ahead = frame->seq - link->last_seq; /* modulo 2^32, as RFC 1982 */
    ewbc_message message;
    uint8_t reason;

    if (link->stream_id == 0) {
        nak(EWBC_NAK_NO_STREAM, link->last_seq + 1u, out);
    } else if (ahead == 0 || ahead >= 0x80000000ul) {
        ack(link, out); /* applied before: without effect */
    } else if (ahead > 1) {
        nak(EWBC_NAK_GAP, link->last_seq + 1u, out);
    } else if ((reason = ewbc_message_decode(frame, &message)) != 0) {
        nak(reason, link->last_seq + 1u, out);
    } else if (link->device->apply(link->context, frame->seq, &message)) {
        link->last_seq = frame->seq;
        ack(link, out);
    }
}

/* Where a frame goes. */
static void receive(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out)
{
    const ewbc_control *control = link->device->control;
    uint8_t reason = EWBC_NAK_UNSUPPORTED;

    out->type = NO_ANSWER;
    if (frame->connection == 0) {
        return; /* nobody's */
    }
    if (frame->type == EWBC_TYPE_HELLO) {
        hello(link, frame, out);
        return;
    }
    if (frame->connection != link->connection && (frame->type != EWBC_TYPE_STOP || control == NULL)) {
        return; /* left over from another connection; to stop is always safe */
    }
    out->connection = frame->connection;
    if (EWBC_IS_SEQUENCED(frame->type)) {
        sequenced(link, frame, out);
        return;
    }
    if (frame->type == EWBC_TYPE_NEW_STREAM) {
        new_stream(link, frame, out);
        return;
    }
    if (control != NULL) {
        reason = control->receive(link, frame, out);
    }
    if (reason != 0) {
        nak(reason, link->last_seq + 1u, out);
    }
}

static uint8_t encode(uint8_t *out, const ewbc_answer *answered)
{
    return ewbc_encode(out, answered->type, answered->connection, 0, answered->length);
}

uint8_t ewbc_link_receive(ewbc_link *link, const ewbc_frame *frame, uint8_t *out)
{
    ewbc_answer answered;

    answered.payload = out + EWBC_PAYLOAD_AT;
    receive(link, frame, &answered);
    return answered.type == NO_ANSWER ? 0 : encode(out, &answered);
}

void ewbc_link_init(ewbc_link *link, const ewbc_device *device, void *context, uint32_t boot_id, uint32_t stream_id,
                    uint32_t last_seq)
{
    uint8_t *byte = (uint8_t *)link;
    uint16_t left;

    for (left = sizeof *link; left != 0; left--) {
        *byte++ = 0;
    }
    link->device = device;
    link->context = context;
    link->boot_id = boot_id;
    link->stream_id = stream_id;
    link->last_seq = last_seq;
}

void ewbc_link_idle(ewbc_link *link)
{
    uint8_t out[EWBC_PAYLOAD_AT + EWBC_ACK_SIZE + 5u];
    ewbc_answer answered;

    if (!link->ack_due) {
        return;
    }
    link->ack_due = false;
    answered.payload = out + EWBC_PAYLOAD_AT;
    answered.connection = link->connection;
    ack(link, &answered);
    link->device->write(link->context, out, encode(out, &answered));
}

void ewbc_link_byte(ewbc_link *link, uint8_t byte)
{
    uint8_t out[EWBC_PAYLOAD_AT + EWBC_HELLO_ACK_SIZE + 5u]; /* no answer is longer */
    ewbc_frame frame;
    ewbc_answer answered;

    if (!ewbc_decode(&link->decoder, byte, &frame)) {
        return;
    }
    answered.payload = out + EWBC_PAYLOAD_AT;
    receive(link, &frame, &answered);
    if (answered.type == EWBC_TYPE_ACK) {
        link->ack_due = true;
    } else if (answered.type != NO_ANSWER) {
        ewbc_link_idle(link); /* answers keep their order */
        link->device->write(link->context, out, encode(out, &answered));
    }
}
