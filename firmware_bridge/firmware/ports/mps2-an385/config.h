#define BOARD_NAME "mps2-an385"
#define RING_BYTES 1024u
#define UART_IRQ 0
#define CLOCK_HZ 25000000u
