/* The example on a board: one loop, and an interrupt that fills a ring of bytes. */
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

static const ewbc_device device = {
    .unique_id = BOARD_NAME,
    .firmware_version = {0, 1, 0},
    .persistence = PERSISTENCE,
    .window_bytes = BOARD_WINDOW,
    .apply = counter_apply,
    .start_stream = counter_start_stream,
    .write = write_bytes,
};

static counter cells;
static ewbc_link instrument;

int main(void)
{
    board_kept *kept = board_init();
#ifdef COUNTER_RAM_ONLY
    counter_open(&cells, &ram_store);
#else
    counter_open(&cells, &kept->store);
#endif
    ewbc_link_init(&instrument, &device, &cells, ++kept->boots, cells.record->stream_id, cells.record->last_seq);
    for (;;) {
        uint8_t byte;
        if (board_read(&byte)) {
            ewbc_link_byte(&instrument, byte);
        } else {
            ewbc_link_idle(&instrument);
            board_wait();
        }
    }
}
