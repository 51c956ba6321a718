/* Received bytes between the interrupt, which puts, and the loop, which takes with board_read. */
#ifndef RING_H
#define RING_H

#include "board.h"

/* By the interrupt. A byte that finds the ring full is dropped: its frame fails the CRC and the host sends it again. */
void ring_put(uint8_t byte);

bool ring_empty(void);

#endif
