/* What the example instrument moves and lights: an indicator for each class, a display of the counts, trigger outputs,
   a stage, limit switches, a button.

   All of it stands in `panel`, in RAM, where the tests look at it and press the button. On an instrument its fields
   become pins, a display and a motor's driver; what decides over them stays as it is. */
#ifndef APPARATUS_H
#define APPARATUS_H

#include "../include/edge_wbc_control.h"
#include "counter.h"

#define APPARATUS_AXES 3
#define APPARATUS_OUTPUTS 4
#define APPARATUS_NM_PER_MS 10000l     /* 10 mm/s */
#define APPARATUS_TRAVEL_NM 75000000l  /* to either side of the origin; then a limit switch */
#define APPARATUS_LONGEST_US 10000000l /* of a pulse */
#define APPARATUS_LINES 6
#define APPARATUS_COLUMNS 16

typedef struct {
    int32_t place_nm[APPARATUS_AXES];
    int32_t target_nm[APPARATUS_AXES];
    uint32_t moves, pulses, stops; /* begun, begun, obeyed since the start */
    uint32_t pulse_us;             /* the last one */
    uint8_t moving;
    uint8_t outputs;   /* bit n: output n is high */
    uint8_t indicator; /* code of the label whose indicator is lit; 0: none */
    uint8_t limits;    /* bit n: axis n stands at the end of its travel */
    volatile uint8_t button; /* 1: pressed */
    char display[APPARATUS_LINES][APPARATUS_COLUMNS];
} apparatus_panel;

extern apparatus_panel panel;

typedef struct {
    counter cells; /* first: the context that the counter gets */
    ewbc_link *link;
    uint32_t now_ms;
    uint32_t dark_ms, low_ms, drawn_ms; /* when the indicator goes out, the output falls, the display was drawn */
    uint32_t drawn;                     /* generation of the record on the display */
    uint8_t beyond;                     /* bit n: the target of axis n lies behind its limit switch */
    uint8_t limits_told, button_told;
    bool timed; /* the indicator goes out by itself */
} apparatus;

/* For ewbc_device and ewbc_control; the context is an apparatus. */
bool apparatus_apply(void *context, uint32_t seq, const ewbc_message *message);
uint8_t apparatus_begin(void *context, const ewbc_command *command, int32_t *detail);
void apparatus_stop(void *context);

/* Go on with what takes time; call after ewbc_link_tick. */
void apparatus_tick(apparatus *apparatus_, uint32_t now_ms);

#endif
