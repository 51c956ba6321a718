/* USART0 of an ATmega328P (an Arduino Uno without Arduino) at 16 MHz; avr-libc's start-up and linker script. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#include "../ring.h"
#include "clock.h"

/* Kept: RAM that start-up does not clear, so it outlives a reset but no loss of power. The EEPROM would outlive that
   too, but takes 3.3 ms a byte and 100,000 writes: too little for a record a result. Use FRAM on an instrument. */
__attribute__((section(".noinit"))) board_kept kept_memory;

board_kept *board_init(void)
{
    UCSR0A = _BV(U2X0);
    UBRR0 = 16; /* 16 MHz / 8 / 17 = 117647, 2.1 % fast, as every Uno */
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXCIE0) | _BV(RXEN0) | _BV(TXEN0);
    start_clock();
    sei();
    return &kept_memory;
}

ISR(USART_RX_vect)
{
    ring_put(UDR0);
}

/* Waits: the ring takes what comes meanwhile. simavr 1.6 stops receiving after a while when the transmit interrupt is on
   beside the other, and what was not tried is not here. */
void board_write(const uint8_t *data, uint8_t length)
{
    for (; length != 0; length--) {
        while (!(UCSR0A & _BV(UDRE0))) {
        }
        UDR0 = *data++;
    }
}

void board_wait(void)
{
    /* Checking and sleeping must not let a byte slip in between: SEI lets one more instruction pass. */
    cli();
    if (ring_empty()) {
        sleep_enable();
        sei();
        sleep_cpu();
        sleep_disable();
    }
    sei();
}
