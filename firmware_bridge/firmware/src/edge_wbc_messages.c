#include "../include/edge_wbc_link.h"

/* The counts of DIFFERENTIAL stand in a row and a box is four in a row: read in loops. */
typedef char counts_in_a_row[EWBC_DIFFERENTIAL_TOTAL_AT - EWBC_DIFFERENTIAL_NEUTROPHIL_AT == 4u * EWBC_COUNTED_LABELS ? 1 : -1];
typedef char box_in_a_row[EWBC_CELL_RESULT_BOX_HEIGHT_AT - EWBC_CELL_RESULT_BOX_XMIN_AT == 6u ? 1 : -1];

static uint8_t cell_result(const ewbc_frame *frame, ewbc_cell_result *cell)
{
    const uint8_t *payload = frame->payload;
    uint8_t i;

    if (frame->length != EWBC_CELL_RESULT_SIZE) {
        return EWBC_NAK_MALFORMED;
    }
    cell->cell_id = EWBC_GET_CELL_RESULT_CELL_ID(payload);
    cell->time_ns = EWBC_GET_CELL_RESULT_TIME_NS(payload);
    cell->label = EWBC_GET_CELL_RESULT_LABEL(payload);
    cell->flags = EWBC_GET_CELL_RESULT_FLAGS(payload);
    cell->probability = EWBC_GET_CELL_RESULT_PROBABILITY(payload);
    for (i = 0; i < 4; i++) {
        cell->box[i] = ewbc_get16(payload + EWBC_CELL_RESULT_BOX_XMIN_AT + 2u * i);
    }
    if (cell->label == EWBC_LABEL_UNIDENTIFIED) {
        return (cell->flags & EWBC_FLAG_UNIDENTIFIED) ? 0 : EWBC_NAK_MALFORMED;
    }
    if (cell->label == 0 || cell->label > EWBC_COUNTED_LABELS || (cell->flags & EWBC_FLAG_UNIDENTIFIED)) {
        return EWBC_NAK_MALFORMED;
    }
    return 0;
}

static uint8_t differential(const ewbc_frame *frame, ewbc_differential *counted)
{
    uint8_t i;

    if (frame->length != EWBC_DIFFERENTIAL_SIZE) {
        return EWBC_NAK_MALFORMED;
    }
    for (i = 0; i < EWBC_COUNTED_LABELS; i++) {
        counted->counts[i] = ewbc_get32(frame->payload + EWBC_DIFFERENTIAL_NEUTROPHIL_AT + 4u * i);
    }
    counted->total = EWBC_GET_DIFFERENTIAL_TOTAL(frame->payload);
    counted->unidentified = EWBC_GET_DIFFERENTIAL_UNIDENTIFIED(frame->payload);
    return 0;
}

uint8_t ewbc_message_decode(const ewbc_frame *frame, ewbc_message *message)
{
    message->type = frame->type;
    if (frame->type == EWBC_TYPE_CELL_RESULT) {
        return cell_result(frame, &message->as.cell);
    }
    if (frame->type == EWBC_TYPE_DIFFERENTIAL) {
        return differential(frame, &message->as.differential);
    }
    return EWBC_NAK_UNSUPPORTED;
}
