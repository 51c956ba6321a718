#define BOARD_NAME "stm32vl-disc"
#define RING_BYTES 1024u
#define UART_IRQ 37
#define CLOCK_HZ 24000000u
