/* libFuzzer target: any bytes, raw and as frames with right CRCs; ticks of any clock, commands that end, events; resets in
   between. What must hold: the applied sequence number rises by exactly one, an acknowledgement tells the truth, nothing
   is written that is no frame; a command begins when none runs, once, and in the order of its issuer; nothing moves after
   a STOP or a deadline; an event comes with its number until that is acknowledged, and nothing that the host has no
   capability for comes at all. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../example/counter.h"
#include "../include/edge_wbc_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)     \
    do {                       \
        if (!(condition)) {    \
            __builtin_trap();  \
        }                      \
    } while (0)

static struct {
    counter cells; /* first: the context that the counter gets */
    counter_store store;
    ewbc_link link;
    uint32_t stream_id, last_seq, applied, boots;
    bool unwilling;
    ewbc_control_state control;
    ewbc_decoder spy;           /* sees the bytes that the link sees */
    uint16_t issuer, number;    /* of the last command, that began or was over before it came */
    bool known, moving, ending; /* there was one since the boot; something moves; begin tells its end from within */
    uint8_t status;             /* that a command begins with */
    uint32_t now_ms, began_ms, deadline_ms;
    uint32_t events; /* accepted since the boot */
    bool waits;      /* the last one is not acknowledged */
    uint8_t event[EWBC_EVENT_SIZE];
    uint32_t host;
} world;

/* Whether a command of this number is newer than the last one. */
static bool newer(uint16_t issuer, uint16_t number)
{
    const uint16_t ahead = (uint16_t)(number - world.number);
    return !world.known || issuer != world.issuer || (ahead != 0 && ahead < 0x8000u);
}

static void remember(uint16_t issuer, uint16_t number)
{
    world.known = true;
    world.issuer = issuer;
    world.number = number;
}

static uint8_t begin(void *context, const ewbc_command *command, int32_t *detail)
{
    REQUIRE(context == &world.cells && *detail == 0);
    REQUIRE(!world.moving && command->deadline_ms != 0 && world.link.connection != 0);
    REQUIRE(newer(command->issuer, command->number));
    remember(command->issuer, command->number);
    world.began_ms = world.now_ms;
    world.deadline_ms = command->deadline_ms;
    world.moving = world.status == EWBC_STATUS_RUNNING;
    if (world.ending) {
        world.moving = false;
        ewbc_link_command_done(&world.link, EWBC_STATUS_FAILED, -1);
    }
    *detail = 7;
    return world.status;
}

static void stop(void *context)
{
    REQUIRE(context == &world.cells);
    world.moving = false;
}

static uint32_t overruns(void *context)
{
    (void)context;
    return 0xFFFFFFFFul;
}

static bool apply(void *context, uint32_t seq, const ewbc_message *message)
{
    REQUIRE(world.stream_id != 0 && world.link.connection != 0);
    REQUIRE(seq == (uint32_t)(world.last_seq + 1u));
    REQUIRE(message->type == EWBC_TYPE_CELL_RESULT || message->type == EWBC_TYPE_DIFFERENTIAL);
    if (world.unwilling) {
        return false;
    }
    world.last_seq = seq;
    world.applied++;
    return counter_apply(context, seq, message);
}

static bool start_stream(void *context, uint32_t stream_id)
{
    REQUIRE(stream_id != world.stream_id);
    if (world.unwilling) {
        return false;
    }
    world.stream_id = stream_id;
    world.last_seq = 0;
    return counter_start_stream(context, stream_id);
}

static void write_bytes(void *context, const uint8_t *data, uint8_t length)
{
    ewbc_decoder decoder;
    ewbc_frame frame;
    uint8_t i, whole = 0;

    (void)context;
    memset(&decoder, 0, sizeof decoder);
    for (i = 0; i < length; i++) {
        whole = (uint8_t)(whole + ewbc_decode(&decoder, data[i], &frame));
    }
    REQUIRE(whole == 1 && data[length - 1] == 0 && frame.connection != 0);
    if (frame.type == EWBC_TYPE_ACK) {
        REQUIRE(frame.length == EWBC_ACK_SIZE && EWBC_GET_ACK_SEQ(frame.payload) == world.last_seq);
    } else if (frame.type == EWBC_TYPE_HELLO_ACK) {
        REQUIRE(frame.length == EWBC_HELLO_ACK_SIZE);
        REQUIRE(EWBC_GET_HELLO_ACK_LAST_APPLIED_SEQ(frame.payload) == world.last_seq);
        REQUIRE(EWBC_GET_HELLO_ACK_STREAM_ID(frame.payload) == world.stream_id);
    } else if (frame.type == EWBC_TYPE_STOP) {
        REQUIRE(frame.length == EWBC_STOP_SIZE && !world.moving);
    } else if (frame.type == EWBC_TYPE_COMMAND_DONE) {
        REQUIRE(frame.length == EWBC_COMMAND_DONE_SIZE && frame.connection == world.link.connection);
    } else if (frame.type == EWBC_TYPE_EVENT) {
        REQUIRE(frame.length == EWBC_EVENT_SIZE && (world.host & EWBC_CAPABILITY_EVENT) != 0);
        REQUIRE(world.waits && frame.seq == world.events);
        REQUIRE(memcmp(frame.payload, world.event, EWBC_EVENT_SIZE) == 0);
    } else if (frame.type == EWBC_TYPE_LOG) {
        REQUIRE(frame.length >= EWBC_LOG_SIZE && (world.host & EWBC_CAPABILITY_LOG) != 0);
    } else if (frame.type == EWBC_TYPE_HEARTBEAT) {
        REQUIRE(frame.length == EWBC_HEARTBEAT_SIZE);
        REQUIRE(EWBC_GET_HEARTBEAT_UPTIME_MS(frame.payload) == world.now_ms);
        REQUIRE(EWBC_GET_HEARTBEAT_FRAMES(frame.payload) == world.link.decoder.frames);
    } else if (frame.type == EWBC_TYPE_TIME_SYNC) {
        REQUIRE(frame.length == EWBC_TIME_SYNC_SIZE);
        REQUIRE(EWBC_GET_TIME_SYNC_SENT_MS(frame.payload) == world.now_ms);
    } else {
        REQUIRE(frame.type == EWBC_TYPE_NAK && frame.length == EWBC_NAK_SIZE);
    }
    REQUIRE(frame.type == EWBC_TYPE_EVENT || frame.seq == 0);
}

static const ewbc_control control = {
    .receive = ewbc_control_receive,
    .state = &world.control,
    .commands = EWBC_CAPABILITY_STAGE,
    .silence_stop_ms = 2000,
    .begin = begin,
    .stop = stop,
    .overruns = overruns,
};

static const ewbc_device device = {
    .unique_id = "fuzz",
    .persistence = EWBC_PERSISTENCE_ATOMIC,
    .window_bytes = 500,
    .apply = apply,
    .start_stream = start_stream,
    .write = write_bytes,
    .control = &control,
};

static void boot(void)
{
    counter_open(&world.cells, &world.store);
    REQUIRE(world.cells.record->last_seq == world.last_seq && world.cells.record->stream_id == world.stream_id);
    REQUIRE(world.cells.record->applied == world.applied);
    ewbc_link_init(&world.link, &device, &world.cells, ++world.boots, world.stream_id, world.last_seq);
    memset(&world.control, 0, sizeof world.control);
    memset(&world.spy, 0, sizeof world.spy);
    world.known = world.moving = world.waits = false;
    world.now_ms = world.events = world.host = 0;
}

/* What the frame that a byte completes means for the world; `before` is the link's connection until then. */
static void look(const ewbc_frame *seen, uint16_t before)
{
    if (seen->type == EWBC_TYPE_HELLO && seen->connection != 0 && seen->length == EWBC_HELLO_SIZE &&
        EWBC_GET_HELLO_VERSION_MAJOR(seen->payload) == EWBC_VERSION_MAJOR &&
        EWBC_GET_HELLO_SCHEMA_HASH(seen->payload) == EWBC_SCHEMA_HASH) {
        world.host = EWBC_GET_HELLO_CAPABILITIES(seen->payload);
        REQUIRE(world.link.connection == seen->connection);
    } else {
        REQUIRE(world.link.connection == before);
    }
    if (seen->type == EWBC_TYPE_STOP && seen->connection != 0 && seen->length == EWBC_STOP_SIZE) {
        const uint16_t issuer = EWBC_GET_STOP_ISSUER(seen->payload), number = EWBC_GET_STOP_NUMBER(seen->payload);
        REQUIRE(!world.moving);
        if (number != 0 && newer(issuer, number) && (!world.known || issuer == world.issuer)) {
            remember(issuer, number);
        }
    }
    if (seen->type == EWBC_TYPE_COMMAND && before != 0 && seen->connection == before && !world.moving &&
        seen->length == EWBC_COMMAND_SIZE && EWBC_GET_COMMAND_DEADLINE_MS(seen->payload) == 0 &&
        newer(EWBC_GET_COMMAND_ISSUER(seen->payload), EWBC_GET_COMMAND_NUMBER(seen->payload))) {
        remember(EWBC_GET_COMMAND_ISSUER(seen->payload), EWBC_GET_COMMAND_NUMBER(seen->payload));
    }
    if (seen->type == EWBC_TYPE_ACK && before != 0 && seen->connection == before && seen->length == EWBC_ACK_SIZE &&
        EWBC_GET_ACK_SEQ(seen->payload) == world.events) {
        world.waits = false;
    }
    REQUIRE(world.control.event_waits == world.waits);
    REQUIRE(world.control.known == world.known);
    REQUIRE(!world.known || (world.control.last.issuer == world.issuer && world.control.last.number == world.number));
    REQUIRE(world.moving == (world.control.known && world.control.status == EWBC_STATUS_RUNNING));
}

static void tick(uint32_t now_ms)
{
    world.now_ms = now_ms;
    ewbc_link_tick(&world.link, now_ms);
    REQUIRE(!world.moving || now_ms - world.began_ms < world.deadline_ms);
    REQUIRE(world.control.event_waits == world.waits);
}

static void happen(uint8_t code, int32_t value)
{
    REQUIRE(ewbc_link_event(&world.link, code, 1, value) == !world.waits);
    if (!world.waits) {
        world.waits = true;
        world.events++;
        EWBC_PUT_EVENT_EVENT(world.event, code);
        EWBC_PUT_EVENT_SOURCE(world.event, 1);
        EWBC_PUT_EVENT_VALUE(world.event, value);
        EWBC_PUT_EVENT_TIME_MS(world.event, world.now_ms);
    }
}

static void feed(const uint8_t *data, size_t size)
{
    /* in memory of its own, so that the sanitizer sees the first byte read too many */
    uint8_t *copy = malloc(size + 1u);
    size_t i;

    REQUIRE(copy != NULL);
    memcpy(copy, data, size);
    for (i = 0; i < size; i++) {
        const uint16_t before = world.link.connection;
        ewbc_frame seen;
        const bool whole = ewbc_decode(&world.spy, copy[i], &seen);
        ewbc_link_byte(&world.link, copy[i]);
        if (whole) {
            look(&seen, before);
        }
        REQUIRE(world.link.last_seq == world.last_seq && world.link.stream_id == world.stream_id);
    }
    free(copy);
}

typedef struct {
    const uint8_t *data;
    size_t size;
} input;

static uint8_t next(input *in)
{
    if (in->size == 0) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

enum { COMMAND = 16, STOP, ARRIVED, QUESTION };

static void frame(input *in, uint8_t kind, uint8_t *out)
{
    uint8_t *payload = out + EWBC_PAYLOAD_AT;
    const uint8_t choice = next(in);
    const uint16_t connection = (choice & 3u) == 3u ? next(in) : world.link.connection;
    const uint32_t seq = world.last_seq + ((choice & 4u) ? (uint32_t)(int32_t)(int8_t)next(in) : 1u);
    uint8_t type = next(in), length = 0, i;

    memset(out, 0, EWBC_MAX_FRAME);
    if (kind == 1) {
        length = (uint8_t)(next(in) % (EWBC_MAX_PAYLOAD + 1u));
        for (i = 0; i < length; i++) {
            payload[i] = next(in);
        }
    } else if (kind == 2) {
        EWBC_PUT_HELLO_VERSION_MAJOR(payload, EWBC_VERSION_MAJOR);
        EWBC_PUT_HELLO_SCHEMA_HASH(payload, EWBC_SCHEMA_HASH);
        EWBC_PUT_HELLO_CAPABILITIES(payload, (uint32_t)choice >> 3);
        feed(out, ewbc_encode(out, EWBC_TYPE_HELLO, (uint16_t)(type + 1u), 0, EWBC_HELLO_SIZE));
        return;
    } else if (kind == 3) {
        EWBC_PUT_NEW_STREAM_STREAM_ID(payload, type & 3u);
        type = EWBC_TYPE_NEW_STREAM;
        length = EWBC_NEW_STREAM_SIZE;
    } else if (kind == 4) {
        EWBC_PUT_CELL_RESULT_LABEL(payload, type % (EWBC_COUNTED_LABELS + 1u));
        type = EWBC_TYPE_CELL_RESULT;
        length = EWBC_CELL_RESULT_SIZE;
    } else if (kind == 5) {
        type = EWBC_TYPE_DIFFERENTIAL;
        length = EWBC_DIFFERENTIAL_SIZE;
    } else if (kind == COMMAND) {
        EWBC_PUT_COMMAND_ISSUER(payload, 1u + (type & 1u));
        EWBC_PUT_COMMAND_NUMBER(payload, world.number + (uint16_t)(int16_t)(int8_t)next(in));
        EWBC_PUT_COMMAND_DEADLINE_MS(payload, (uint32_t)next(in) << (choice >> 3));
        type = EWBC_TYPE_COMMAND;
        length = EWBC_COMMAND_SIZE;
    } else if (kind == STOP) {
        EWBC_PUT_STOP_ISSUER(payload, 1u + (type & 1u));
        EWBC_PUT_STOP_NUMBER(payload, world.number + (uint16_t)(int16_t)(int8_t)next(in));
        type = EWBC_TYPE_STOP;
        length = EWBC_STOP_SIZE;
    } else if (kind == ARRIVED) {
        EWBC_PUT_ACK_SEQ(payload, world.events + (type & 1u));
        type = EWBC_TYPE_ACK;
        length = EWBC_ACK_SIZE;
    } else {
        const bool heartbeat = (type & 1u) != 0;
        type = heartbeat ? EWBC_TYPE_HEARTBEAT : EWBC_TYPE_TIME_SYNC;
        length = heartbeat ? EWBC_HEARTBEAT_SIZE : EWBC_TIME_SYNC_SIZE;
    }
    feed(out, ewbc_encode(out, type, connection, seq, length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[EWBC_MAX_FRAME];
    input in = {data, size};

    memset(&world, 0, sizeof world);
    memset(out, 0, sizeof out);
    boot();
    while (in.size != 0) {
        const uint8_t step = next(&in) % 25u;
        if (step == 0) {
            const size_t most = next(&in), length = most < in.size ? most : in.size;
            feed(in.data, length);
            in.data += length;
            in.size -= length;
        } else if (step <= 5) {
            frame(&in, step, out);
        } else if (step == 6) {
            feed(out, sizeof out); /* the frame before once more, and what stands behind it */
        } else if (step == 7) {
            out[next(&in) % sizeof out] ^= 1u;
        } else if (step == 8) {
            boot();
        } else if (step == 9) {
            world.unwilling = !world.unwilling;
        } else if (step == 10) {
            /* to the end of the sequence numbers, as no run gets there otherwise */
            world.cells.record->last_seq = world.last_seq = world.link.last_seq = 0xFFFFFFFEul;
            world.cells.record->crc = ewbc_crc32(0, (const uint8_t *)world.cells.record, offsetof(counter_record, crc));
            if (world.cells.record->generation == 0) {
                world.last_seq = world.link.last_seq = world.cells.record->last_seq = 0;
            }
        } else if (step >= COMMAND && step <= QUESTION) {
            frame(&in, step, out);
        } else if (step == 20) {
            tick(world.now_ms + ((uint32_t)next(&in) << (next(&in) & 31u)));
        } else if (step == 21) {
            const uint8_t status = next(&in);
            if (status != EWBC_STATUS_RUNNING) {
                world.moving = false;
                ewbc_link_command_done(&world.link, status, status);
            }
        } else if (step == 22) {
            happen(next(&in), (int32_t)(int8_t)next(&in));
        } else if (step == 23) {
            world.status = next(&in) & 7u;
            world.ending = (next(&in) & 7u) == 7u;
        } else if (step == 24) {
            char text[80];
            memset(text, next(&in), sizeof text - 1u);
            text[next(&in) % sizeof text] = 0;
            text[sizeof text - 1u] = 0;
            ewbc_link_log(&world.link, EWBC_LOG_INFO, text);
        } else {
            ewbc_link_idle(&world.link);
        }
    }
    ewbc_link_idle(&world.link);
    return 0;
}
