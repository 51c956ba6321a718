/* The example on a board: one loop, an interrupt that fills a ring of bytes, one that counts milliseconds. */
#include "../ports/board.h"

#ifdef COUNTER_RAM_ONLY
#define PERSISTENCE EWBC_PERSISTENCE_RAM_ONLY
static counter_store ram_store;
#else
#define PERSISTENCE EWBC_PERSISTENCE_ATOMIC
#endif

static void write_bytes(void *context, const uint8_t *data, uint8_t length)
{
    (void)context;
    board_write(data, length);
}

static uint32_t overruns(void *context)
{
    (void)context;
    return board_overruns();
}

static ewbc_control_state control_state;
static const ewbc_control control = {
    .receive = ewbc_control_receive,
    .state = &control_state,
    .commands = EWBC_CAPABILITY_INDICATOR | EWBC_CAPABILITY_TRIGGER | EWBC_CAPABILITY_STAGE,
    .silence_stop_ms = 2000,
    .begin = apparatus_begin,
    .stop = apparatus_stop,
    .overruns = overruns,
};

static const ewbc_device device = {
    .unique_id = BOARD_NAME,
    .firmware_version = {0, 1, 0},
    .persistence = PERSISTENCE,
    .window_bytes = BOARD_WINDOW,
    .apply = apparatus_apply,
    .start_stream = counter_start_stream,
    .write = write_bytes,
    .control = &control,
};

static ewbc_link instrument;
static apparatus things;

int main(void)
{
    board_kept *kept = board_init();
    uint32_t now = 0;

    things.link = &instrument;
#ifdef COUNTER_RAM_ONLY
    counter_open(&things.cells, &ram_store);
#else
    counter_open(&things.cells, &kept->store);
#endif
    ewbc_link_init(&instrument, &device, &things, ++kept->boots, things.cells.record->stream_id,
                   things.cells.record->last_seq);
    for (;;) {
        uint8_t byte;
        if (board_read(&byte)) {
            ewbc_link_byte(&instrument, byte);
        } else {
            ewbc_link_idle(&instrument);
            board_wait();
        }
        if (now != board_ms()) {
            now = board_ms();
            ewbc_link_tick(&instrument, now);
            apparatus_tick(&things, now);
        }
    }
}
