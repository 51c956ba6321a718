/* libFuzzer target: any bytes, raw and as frames with right CRCs, resets in between. What must hold: the applied
   sequence number rises by exactly one, an acknowledgement tells the truth, and nothing is written that is no frame. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../example/counter.h"

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
} world;

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
    } else {
        REQUIRE(frame.type == EWBC_TYPE_NAK && frame.length == EWBC_NAK_SIZE);
    }
}

static const ewbc_device device = {
    .unique_id = "fuzz",
    .persistence = EWBC_PERSISTENCE_ATOMIC,
    .window_bytes = 500,
    .apply = apply,
    .start_stream = start_stream,
    .write = write_bytes,
};

static void boot(void)
{
    counter_open(&world.cells, &world.store);
    REQUIRE(world.cells.record->last_seq == world.last_seq && world.cells.record->stream_id == world.stream_id);
    REQUIRE(world.cells.record->applied == world.applied);
    ewbc_link_init(&world.link, &device, &world.cells, ++world.boots, world.stream_id, world.last_seq);
}

static void feed(const uint8_t *data, size_t size)
{
    /* in memory of its own, so that the sanitizer sees the first byte read too many */
    uint8_t *copy = malloc(size + 1u);
    size_t i;

    REQUIRE(copy != NULL);
    memcpy(copy, data, size);
    for (i = 0; i < size; i++) {
        ewbc_link_byte(&world.link, copy[i]);
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
    } else {
        type = EWBC_TYPE_DIFFERENTIAL;
        length = EWBC_DIFFERENTIAL_SIZE;
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
        const uint8_t step = next(&in) & 15u;
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
        } else {
            ewbc_link_idle(&world.link);
        }
    }
    ewbc_link_idle(&world.link);
    return 0;
}
