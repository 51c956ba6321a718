/* What a board gives the example. config.h is the board's own: BOARD_NAME (12 characters at most), RING_BYTES. */
#ifndef BOARD_H
#define BOARD_H

#include "../example/apparatus.h"
#include "config.h"

/* The ring holds the window, and one frame beside it such as a repeated HELLO. */
#define BOARD_WINDOW (RING_BYTES - 1u - EWBC_MAX_FRAME)

/* Memory that a reset leaves as it was. `boots` makes boot ids differ from reset to reset; at power-up it is whatever
   the memory holds, and the store is lost as well, which tells the host more than a boot id. */
typedef struct {
    uint32_t boots;
    counter_store store;
} board_kept;

/* Start the UART at 115200 baud and its receive interrupt, and the clock. */
board_kept *board_init(void);

/* Take a received byte; false when there is none. */
bool board_read(uint8_t *byte);

/* Send bytes, waiting for the transmitter. */
void board_write(const uint8_t *data, uint8_t length);

/* Bytes that came when there was no room for them. */
uint32_t board_overruns(void);

/* Milliseconds since the start; wraps around. */
uint32_t board_ms(void);

/* Sleep until a byte has been received or the clock has gone on; return at once when a byte waits. */
void board_wait(void);

#endif
