/* The UART of an nRF51822 (reference manual 3.0, chapter 28) on the pins that a micro:bit's USB chip is wired to. */
#include "../cortexm/cortexm.h"

#define UART 0x40002000u
#define TASK_START_RX REGISTER(UART + 0x000)
#define TASK_START_TX REGISTER(UART + 0x008)
#define EVENT_RX_READY REGISTER(UART + 0x108)
#define EVENT_TX_READY REGISTER(UART + 0x11C)
#define INTERRUPT_SET REGISTER(UART + 0x304)
#define INTERRUPT_RX 0x4u
#define ENABLE REGISTER(UART + 0x500)
#define PIN_TX REGISTER(UART + 0x50C)
#define PIN_RX REGISTER(UART + 0x514)
#define RX_DATA REGISTER(UART + 0x518)
#define TX_DATA REGISTER(UART + 0x51C)
#define BAUD_RATE REGISTER(UART + 0x524)

#define CLOCK_START_CRYSTAL REGISTER(0x40000000)

board_kept *board_init(void)
{
    CLOCK_START_CRYSTAL = 1;
    PIN_TX = 24;
    PIN_RX = 25;
    BAUD_RATE = 0x01D7E000; /* 115200 */
    ENABLE = 4;
    TASK_START_RX = 1;
    TASK_START_TX = 1;
    INTERRUPT_SET = INTERRUPT_RX;
    enable_uart_interrupt();
    start_clock();
    return &kept_memory;
}

void uart_interrupt(void)
{
    while (EVENT_RX_READY) {
        EVENT_RX_READY = 0; /* clear, then take one: the next byte of its FIFO raises the event anew */
        ring_put((uint8_t)RX_DATA);
    }
}

void board_write(const uint8_t *data, uint8_t length)
{
    for (; length != 0; length--) {
        EVENT_TX_READY = 0;
        TX_DATA = *data++;
        while (!EVENT_TX_READY) {
        }
    }
}
