/* USART0 of an ATmega328P (an Arduino Uno without Arduino) at 16 MHz; avr-libc's start-up and linker script. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#include "../ring.h"

/* Kept: RAM that start-up does not clear, so it outlives a reset but no loss of power. The EEPROM would outlive that
   too, but takes 3.3 ms a byte and 100,000 writes: too little for a record a result. Use FRAM on an instrument. */
__attribute__((section(".noinit"))) board_kept kept_memory;

#define SEND_BYTES 64u
static volatile uint8_t bytes[SEND_BYTES];
static volatile uint8_t head; /* moved by board_write alone */
static volatile uint8_t tail; /* moved by the interrupt alone */

static uint8_t after(uint8_t index)
{
    return (uint8_t)((index + 1u) & (SEND_BYTES - 1u));
}

board_kept *board_init(void)
{
    UCSR0A = _BV(U2X0);
    UBRR0 = 16; /* 16 MHz / 8 / 17 = 117647, 2.1 % fast, as every Uno */
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXCIE0) | _BV(RXEN0) | _BV(TXEN0);
    sei();
    return &kept_memory;
}

ISR(USART_RX_vect)
{
    ring_put(UDR0);
}

/* Sent by interrupt too: waiting for 20 bytes of an acknowledgement would take half the time of a result. */
ISR(USART_UDRE_vect)
{
    const uint8_t at = tail;
    if (at == head) {
        UCSR0B &= (uint8_t)~_BV(UDRIE0);
    } else {
        UDR0 = bytes[at];
        tail = after(at);
    }
}

void board_write(const uint8_t *data, uint8_t length)
{
    for (; length != 0; length--) {
        const uint8_t at = head, next = after(at);
        while (next == tail) {
        }
        bytes[at] = *data++;
        head = next;
        UCSR0B |= _BV(UDRIE0);
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
