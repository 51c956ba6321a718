#define BOARD_NAME "microbit"
#define RING_BYTES 1024u
#define UART_IRQ 2
#define CLOCK_IRQ 8
