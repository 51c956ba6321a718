/* Milliseconds by TIMER0 of an nRF51822 (reference manual 3.0, chapter 18), which has no SysTick. */
#include "../cortexm/cortexm.h"

#define TIMER 0x40008000u
#define TASK_START REGISTER(TIMER + 0x000)
#define EVENT_COMPARE_0 REGISTER(TIMER + 0x140)
#define SHORTCUTS REGISTER(TIMER + 0x200)
#define INTERRUPT_SET REGISTER(TIMER + 0x304)
#define BIT_MODE REGISTER(TIMER + 0x508)
#define PRESCALER REGISTER(TIMER + 0x510)
#define COMPARE_0 REGISTER(TIMER + 0x540)

static volatile uint32_t now_ms;

void start_clock(void)
{
    PRESCALER = 4; /* 16 MHz / 2^4 */
    BIT_MODE = 3;  /* 32 */
    COMPARE_0 = 1000;
    SHORTCUTS = 1; /* from 0 again at each compare */
    EVENT_COMPARE_0 = 0;
    INTERRUPT_SET = 0x10000;
    enable_interrupt(CLOCK_IRQ);
    TASK_START = 1;
}

void clock_interrupt(void)
{
    EVENT_COMPARE_0 = 0;
    now_ms++;
}

uint32_t board_ms(void)
{
    return now_ms;
}
