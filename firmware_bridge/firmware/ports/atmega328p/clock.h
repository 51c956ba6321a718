#ifndef CLOCK_H
#define CLOCK_H

#include "../board.h"

void start_clock(void);

#endif
