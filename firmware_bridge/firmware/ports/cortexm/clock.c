/* Milliseconds by SysTick (ARMv7-M reference manual, B3.3). */
#include "cortexm.h"

#define CONTROL REGISTER(0xE000E010)
#define RELOAD REGISTER(0xE000E014)
#define VALUE REGISTER(0xE000E018)

static volatile uint32_t now_ms;

void start_clock(void)
{
    RELOAD = CLOCK_HZ / 1000u - 1u;
    VALUE = 0;
    CONTROL = 7; /* the processor's clock, interrupt, on */
}

void clock_interrupt(void)
{
    now_ms++;
}

uint32_t board_ms(void)
{
    return now_ms;
}
