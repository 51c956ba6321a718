#include "ring.h"

#if RING_BYTES <= 256
typedef uint8_t ring_index; /* read in one instruction on 8 bits too */
#elif defined(__AVR__)
#error "on 8 bits a wider index is read in two halves, with an interrupt between them: 256 bytes at most"
#else
typedef uint16_t ring_index;
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
    return head == tail;
}

bool board_read(uint8_t *byte)
{
    const ring_index at = tail;
    if (head == at) {
        return false;
    }
    *byte = bytes[at];
    tail = after(at);
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
