#include "ring.h"

typedef uint16_t ring_index;

/* On 8 bits an index is read and written in two halves: the interrupt must not come between them. */
#ifdef __AVR__
#include <util/atomic.h>
#define WHOLE ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
#else
#define WHOLE
#endif

typedef char ring_bytes_is_a_power_of_two[(RING_BYTES & (RING_BYTES - 1)) == 0 ? 1 : -1];

static volatile uint8_t bytes[RING_BYTES];
static volatile ring_index head; /* moved by the interrupt alone */
static volatile ring_index tail; /* moved by the loop alone */
static volatile uint32_t overruns; /* moved by the interrupt alone */

static ring_index after(ring_index index)
{
    return (ring_index)((index + 1u) & (RING_BYTES - 1u));
}

void ring_put(uint8_t byte)
{
    const ring_index at = head, next = after(at);
    if (next == tail) {
        overruns++;
    } else {
        bytes[at] = byte;
        head = next;
    }
}

bool ring_empty(void)
{
    bool empty;
    WHOLE { empty = head == tail; }
    return empty;
}

bool board_read(uint8_t *byte)
{
    const ring_index at = tail, next = after(at);
    ring_index end;
    WHOLE { end = head; }
    if (end == at) {
        return false;
    }
    *byte = bytes[at];
    WHOLE { tail = next; }
    return true;
}

uint32_t board_overruns(void)
{
    uint32_t first, second;
    do { /* where it is read in pieces, an interrupt may come in between */
        first = overruns;
        second = overruns;
    } while (first != second);
    return first;
}
