/* Milliseconds by Timer0: 16 MHz / 64 / 250. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#include "clock.h"

static volatile uint32_t now_ms;

void start_clock(void)
{
    TCCR0A = _BV(WGM01); /* from 0 again at each compare */
    OCR0A = 249;
    TIMSK0 = _BV(OCIE0A);
    TCCR0B = _BV(CS01) | _BV(CS00);
}

ISR(TIMER0_COMPA_vect)
{
    now_ms++;
}

uint32_t board_ms(void)
{
    uint32_t now;
    ATOMIC_BLOCK(ATOMIC_FORCEON)
    {
        now = now_ms;
    }
    return now;
}
