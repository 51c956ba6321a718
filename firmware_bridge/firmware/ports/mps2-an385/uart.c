/* UART0, a CMSDK APB UART (Arm DDI 0479), at 25 MHz. It holds one received byte. */
#include "../cortexm/cortexm.h"

#define UART 0x40004000u
#define DATA REGISTER(UART + 0x00)
#define STATE REGISTER(UART + 0x04)
#define STATE_TX_FULL 0x1u
#define STATE_RX_FULL 0x2u
#define CONTROL REGISTER(UART + 0x08)
#define INTERRUPT_CLEAR REGISTER(UART + 0x0C)
#define INTERRUPT_RX 0x2u
#define BAUD_DIVIDER REGISTER(UART + 0x10)

board_kept *board_init(void)
{
    BAUD_DIVIDER = 217; /* 25 MHz / 115200 */
    CONTROL = 0xB;      /* transmitter, receiver, receive interrupt */
    enable_uart_interrupt();
    start_clock();
    return &kept_memory;
}

void uart_interrupt(void)
{
    INTERRUPT_CLEAR = INTERRUPT_RX; /* clear, then drain: the other way round a byte in between raises nothing more */
    while (STATE & STATE_RX_FULL) {
        ring_put((uint8_t)DATA);
    }
}

void board_write(const uint8_t *data, uint8_t length)
{
    for (; length != 0; length--) {
        while (STATE & STATE_TX_FULL) {
        }
        DATA = *data++;
    }
}
