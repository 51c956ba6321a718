/* What the Cortex-M boards share. */
#ifndef CORTEXM_H
#define CORTEXM_H

#include "../ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* The board's interrupt handler, number UART_IRQ of config.h. */
void uart_interrupt(void);

/* Let an interrupt through at the NVIC; the UART's after taking what came before. */
void enable_interrupt(unsigned number);
void enable_uart_interrupt(void);

/* The clock: SysTick at CLOCK_HZ of config.h, or a timer of the board's own with interrupt CLOCK_IRQ. */
void start_clock(void);
void clock_interrupt(void);

extern board_kept kept_memory;

#endif
