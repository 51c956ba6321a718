/* An example instrument: counts the cells of each class, and keeps counts and sequence number in one record, so that
   a result has taken effect exactly when its number is remembered (EWBC_PERSISTENCE_ATOMIC).

   The record stands twice. A new one is written over the older copy and counts only when its CRC is right: a reset at
   any moment finds the record before or the record after, never half of one. */
#ifndef COUNTER_H
#define COUNTER_H

#include "../include/edge_wbc_link.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t generation; /* rises by one a record */
    uint32_t stream_id;
    uint32_t last_seq;
    uint32_t applied;                     /* results and differentials, ever */
    uint32_t chain;                       /* CRC over all of them in the order they were applied */
    uint32_t counts[EWBC_COUNTED_LABELS]; /* results of label 1, 2, 3 …, ever */
    uint32_t unidentified;
    ewbc_differential differential; /* the last one */
    uint32_t crc;
} counter_record;

/* Must outlive a reset, and on an instrument a loss of power: FRAM, battery-backed RAM, flash with wear levelling. */
typedef struct {
    counter_record copies[2];
} counter_store;

typedef struct {
    counter_store *store;
    counter_record *record; /* the newer copy */
} counter;

/* Find the newer good record, or begin with an empty one. */
void counter_open(counter *counter_, counter_store *store);

/* For ewbc_device; the context begins with a counter. */
bool counter_apply(void *context, uint32_t seq, const ewbc_message *message);
bool counter_start_stream(void *context, uint32_t stream_id);

#ifdef __cplusplus
}
#endif

#endif
