/* What the Cortex-M boards share. */
#ifndef CORTEXM_H
#define CORTEXM_H

#include "../ring.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* The board's interrupt handler, number UART_IRQ of config.h. */
void uart_interrupt(void);

/* Let the interrupt through at the NVIC. */
void enable_uart_interrupt(void);

extern board_kept kept_memory;

#endif
