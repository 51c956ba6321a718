#define BOARD_NAME "lm3s6965evb"
#define RING_BYTES 1024u
#define UART_IRQ 5
#define CLOCK_HZ 50000000u
