/* UART0, a PL011 (Stellaris LM3S6965 data sheet, chapter 12), at 50 MHz from the 8 MHz crystal. */
#include "../cortexm/cortexm.h"

#define UART 0x4000C000u
#define DATA REGISTER(UART + 0x00)
#define FLAGS REGISTER(UART + 0x18)
#define FLAG_RX_EMPTY 0x10u
#define FLAG_TX_FULL 0x20u
#define BAUD_WHOLE REGISTER(UART + 0x24)
#define BAUD_64THS REGISTER(UART + 0x28)
#define LINE_CONTROL REGISTER(UART + 0x2C)
#define CONTROL REGISTER(UART + 0x30)
#define INTERRUPT_MASK REGISTER(UART + 0x38)
#define INTERRUPT_CLEAR REGISTER(UART + 0x44)
#define INTERRUPT_RX 0x50u /* received, and received with a pause behind it */

#define CLOCK_EVENTS REGISTER(0x400FE050)
#define CLOCK_PLL_LOCKED 0x40u
#define CLOCK_RUN REGISTER(0x400FE060)
#define CLOCK_GATES_UART REGISTER(0x400FE104)
#define CLOCK_GATES_GPIO REGISTER(0x400FE108)
#define PORT_A_ALTERNATE REGISTER(0x40004420)
#define PORT_A_DIGITAL REGISTER(0x4000451C)

board_kept *board_init(void)
{
    CLOCK_RUN = 0x078E3B80u; /* crystal of 8 MHz, PLL off and bypassed */
    CLOCK_RUN = 0x078E0B80u; /* PLL on */
    while (!(CLOCK_EVENTS & CLOCK_PLL_LOCKED)) {
    }
    CLOCK_RUN = 0x01CE0380u; /* PLL's 200 MHz / 4 */
    CLOCK_GATES_UART |= 1u;
    CLOCK_GATES_GPIO |= 1u;
    PORT_A_ALTERNATE |= 3u;
    PORT_A_DIGITAL |= 3u;
    BAUD_WHOLE = 27; /* 50 MHz / 16 / 115200 = 27 + 8/64 */
    BAUD_64THS = 8;
    LINE_CONTROL = 0x70; /* 8 bits, FIFOs */
    INTERRUPT_MASK = INTERRUPT_RX;
    CONTROL = 0x301; /* transmitter, receiver, on */
    enable_uart_interrupt();
    start_clock();
    return &kept_memory;
}

void uart_interrupt(void)
{
    INTERRUPT_CLEAR = INTERRUPT_RX; /* clear, then drain: a byte that comes in between raises it anew */
    while (!(FLAGS & FLAG_RX_EMPTY)) {
        ring_put((uint8_t)DATA);
    }
}

void board_write(const uint8_t *data, uint8_t length)
{
    for (; length != 0; length--) {
        while (FLAGS & FLAG_TX_FULL) {
        }
        DATA = *data++;
    }
}
