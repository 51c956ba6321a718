/* USART1 of an STM32F100 (reference manual RM0041, chapter 23) on PA9 and PA10, at 24 MHz from the internal
   8 MHz. */
#include "../cortexm/cortexm.h"

#define UART 0x40013800u
#define STATUS REGISTER(UART + 0x00)
#define STATUS_OVERRUN 0x08u
#define STATUS_RX_FULL 0x20u
#define STATUS_TX_EMPTY 0x80u
#define DATA REGISTER(UART + 0x04)
#define BAUD_DIVIDER REGISTER(UART + 0x08)
#define CONTROL_1 REGISTER(UART + 0x0C)

#define CLOCK_CONTROL REGISTER(0x40021000)
#define CLOCK_PLL_ON 0x01000000u
#define CLOCK_PLL_READY 0x02000000u
#define CLOCK_CHOICE REGISTER(0x40021004)
#define CLOCK_GATES_APB2 REGISTER(0x40021018)
#define PORT_A_HIGH REGISTER(0x40010804)

/* 8 MHz / 2 * 6. QEMU's board has no clock control and is at 24 MHz always: there the wait is for nothing. */
static void clock_to_24_mhz(void)
{
    uint16_t patience = 2000; /* it takes 200 µs at most */

    CLOCK_CHOICE = 0x00100000u;
    CLOCK_CONTROL |= CLOCK_PLL_ON;
    while (!(CLOCK_CONTROL & CLOCK_PLL_READY) && --patience != 0) {
    }
    CLOCK_CHOICE = 0x00100002u;
}

board_kept *board_init(void)
{
    clock_to_24_mhz();
    CLOCK_GATES_APB2 |= 0x4004u;                             /* USART1, port A */
    PORT_A_HIGH = (PORT_A_HIGH & ~0xFF0u) | 0x4B0u;          /* PA9 alternate output, PA10 input */
    BAUD_DIVIDER = 208;                                      /* 24 MHz / 115200 */
    CONTROL_1 = 0x202Cu;                                     /* on, receive interrupt, transmitter, receiver */
    enable_uart_interrupt();
    start_clock();
    return &kept_memory;
}

void uart_interrupt(void)
{
    uint32_t status;

    /* Reading status and then data is what clears here. An overrun interrupts too, with or without a byte. */
    while ((status = STATUS) & (STATUS_RX_FULL | STATUS_OVERRUN)) {
        const uint8_t byte = (uint8_t)DATA;
        if (status & STATUS_RX_FULL) {
            ring_put(byte);
        }
    }
}

void board_write(const uint8_t *data, uint8_t length)
{
    for (; length != 0; length--) {
        while (!(STATUS & STATUS_TX_EMPTY)) {
        }
        DATA = *data++;
    }
}
