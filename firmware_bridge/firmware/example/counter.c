#include "counter.h"

#include <stddef.h>

static uint32_t crc_of(const counter_record *record)
{
    return ewbc_crc32(0, (const uint8_t *)record, (uint16_t)offsetof(counter_record, crc));
}

static bool good(const counter_record *record)
{
    return record->generation != 0 && record->crc == crc_of(record);
}

void counter_open(counter *counter_, counter_store *store)
{
    counter_record *a = &store->copies[0], *b = &store->copies[1];
    const bool a_good = good(a), b_good = good(b);
    uint8_t *byte = (uint8_t *)store;
    uint16_t left;

    counter_->store = store;
    counter_->record = a;
    if (a_good && b_good) {
        counter_->record = (b->generation - a->generation) < 0x80000000ul ? b : a;
    } else if (b_good) {
        counter_->record = b;
    } else if (!a_good) {
        for (left = sizeof *store; left != 0; left--) {
            *byte++ = 0;
        }
    }
}

/* A copy of the record over the older one, to be changed; its CRC is wrong from the first change until `commit`. */
static counter_record *begin(const counter *counter_)
{
    counter_record *next = &counter_->store->copies[counter_->record == &counter_->store->copies[0] ? 1 : 0];
    const uint8_t *from = (const uint8_t *)counter_->record;
    uint8_t *to = (uint8_t *)next;
    uint16_t left;

    for (left = sizeof *next; left != 0; left--) {
        *to++ = *from++;
    }
    next->generation++;
    if (next->generation == 0) {
        next->generation = 1;
    }
    return next;
}

static void commit(counter *counter_, counter_record *next)
{
    next->crc = crc_of(next);
    counter_->record = next;
}

static uint32_t chain_u16(uint32_t chain, uint16_t value)
{
    uint8_t bytes[2];
    ewbc_put16(bytes, value);
    return ewbc_crc32(chain, bytes, sizeof bytes);
}

static uint32_t chain_u32(uint32_t chain, uint32_t value)
{
    return chain_u16(chain_u16(chain, (uint16_t)value), (uint16_t)(value >> 16));
}

static uint32_t chain_cell(uint32_t chain, const ewbc_cell_result *cell)
{
    uint8_t i;
    chain = chain_u32(chain, cell->cell_id);
    chain = chain_u32(chain, (uint32_t)cell->time_ns);
    chain = chain_u32(chain, (uint32_t)(cell->time_ns >> 32));
    chain = chain_u16(chain, (uint16_t)(cell->label | (uint16_t)((uint16_t)cell->flags << 8)));
    chain = chain_u16(chain, cell->probability);
    for (i = 0; i < 4; i++) {
        chain = chain_u16(chain, cell->box[i]);
    }
    return chain;
}

static uint32_t chain_differential(uint32_t chain, const ewbc_differential *differential)
{
    uint8_t i;
    for (i = 0; i < EWBC_COUNTED_LABELS; i++) {
        chain = chain_u32(chain, differential->counts[i]);
    }
    return chain_u32(chain_u32(chain, differential->total), differential->unidentified);
}

bool counter_apply(void *context, uint32_t seq, const ewbc_message *message)
{
    counter *counter_ = context;
    counter_record *next = begin(counter_);

    next->last_seq = seq;
    next->applied++;
    next->chain = chain_u32(next->chain, seq);
    if (message->type == EWBC_TYPE_CELL_RESULT) {
        const uint8_t label = message->as.cell.label;
        if (label == EWBC_LABEL_UNIDENTIFIED) {
            next->unidentified++;
        } else {
            next->counts[label - 1u]++;
        }
        next->chain = chain_cell(next->chain, &message->as.cell);
    } else {
        next->differential = message->as.differential;
        next->chain = chain_differential(next->chain, &message->as.differential);
    }
    commit(counter_, next);
    return true;
}

bool counter_start_stream(void *context, uint32_t stream_id)
{
    counter *counter_ = context;
    counter_record *next = begin(counter_);

    next->stream_id = stream_id;
    next->last_seq = 0;
    commit(counter_, next);
    return true;
}
