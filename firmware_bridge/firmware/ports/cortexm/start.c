/* Start-up and sleep for every Cortex-M board. */
#include "cortexm.h"

extern uint32_t __data_start[], __data_end[], __data_load[], __bss_start[], __bss_end[], __stack_top[];
int main(void);
void reset(void);

/* Kept: the example's store. RAM that start-up does not clear, so it outlives a reset but no loss of power. */
__attribute__((section(".noinit"))) board_kept kept_memory;

static void halt(void)
{
    for (;;) {
    }
}

typedef void (*handler)(void);

/* The word before, the first stack pointer, is the linker script's. */
__attribute__((section(".vectors"), used)) static const handler vectors[] = {
    [0] = reset,
    [1] = halt, /* NMI */
    [2] = halt, /* hard fault */
#ifdef CLOCK_IRQ
    [15 + CLOCK_IRQ] = clock_interrupt,
#else
    [14] = clock_interrupt, /* SysTick */
#endif
    [15 + UART_IRQ] = uart_interrupt,
};

void reset(void)
{
    uint32_t *from = __data_load, *to;
    for (to = __data_start; to < __data_end;) {
        *to++ = *from++;
    }
    for (to = __bss_start; to < __bss_end;) {
        *to++ = 0;
    }
    main();
    halt();
}

void enable_interrupt(unsigned number)
{
    REGISTER(0xE000E100u + number / 32u * 4u) = 1ul << number % 32u;
}

void enable_uart_interrupt(void)
{
    /* Take what came before: a UART that tells of the first byte only would stay silent for ever. */
    uart_interrupt();
    enable_interrupt(UART_IRQ);
}

void board_wait(void)
{
#ifndef BOARD_STAYS_AWAKE
    /* Checking and sleeping must not let a byte slip in between: WFI wakes for a masked interrupt too. */
    __asm volatile("cpsid i" ::: "memory");
    if (ring_empty()) {
        __asm volatile("wfi");
    }
    __asm volatile("cpsie i" ::: "memory");
#endif
}
