#include "apparatus.h"

#define DRAW_PERIOD_MS 100u
#define MOST_MS 100u /* of motion in one tick: a motor does not catch up after a pause */
#define DIGITS 5u
#define NAME 3u

apparatus_panel panel;

/* Of the labels 1, 2, 3 …, and last the unidentified. */
static const char names[EWBC_COUNTED_LABELS + 1u][NAME + 1u] = {"neu", "eos", "bas", "lym", "mon",
                                                                 "imm", "ery", "plt", "not", "???"};

static void light(apparatus *apparatus_, uint8_t label, uint32_t for_ms)
{
    panel.indicator = label;
    apparatus_->timed = for_ms != 0;
    apparatus_->dark_ms = apparatus_->now_ms + for_ms;
}

bool apparatus_apply(void *context, uint32_t seq, const ewbc_message *message)
{
    if (!counter_apply(context, seq, message)) {
        return false;
    }
    if (message->type == EWBC_TYPE_CELL_RESULT) {
        light(context, message->as.cell.label, 0);
    }
    return true;
}

static uint8_t indicate(apparatus *apparatus_, int32_t label, int32_t for_ms)
{
    if (for_ms < 0 || ((label < 1 || label > (int32_t)EWBC_COUNTED_LABELS) && label != (int32_t)EWBC_LABEL_UNIDENTIFIED)) {
        return EWBC_STATUS_BAD_ARGUMENT;
    }
    light(apparatus_, (uint8_t)label, (uint32_t)for_ms);
    return EWBC_STATUS_DONE;
}

/* The tick ends the pulse: not before its time, and up to 2 ms after. A timer's output compare would do it exactly. */
static uint8_t trigger(apparatus *apparatus_, int32_t output, int32_t pulse_us)
{
    if (output < 0 || output >= APPARATUS_OUTPUTS || pulse_us < 1 || pulse_us > APPARATUS_LONGEST_US) {
        return EWBC_STATUS_BAD_ARGUMENT;
    }
    panel.outputs = (uint8_t)(1u << output);
    panel.pulse_us = (uint32_t)pulse_us;
    panel.pulses++;
    apparatus_->low_ms = apparatus_->now_ms + ((uint32_t)pulse_us + 999u) / 1000u + 1u;
    return EWBC_STATUS_RUNNING;
}

static uint8_t depart(apparatus *apparatus_, const int32_t *target_nm)
{
    uint8_t axis;

    apparatus_->beyond = 0;
    for (axis = 0; axis < APPARATUS_AXES; axis++) {
        int32_t target = target_nm[axis];
        if (target > APPARATUS_TRAVEL_NM || target < -APPARATUS_TRAVEL_NM) {
            target = target < 0 ? -APPARATUS_TRAVEL_NM : APPARATUS_TRAVEL_NM;
            apparatus_->beyond = (uint8_t)(apparatus_->beyond | 1u << axis);
        }
        panel.target_nm[axis] = target;
    }
    panel.moving = 1;
    panel.moves++;
    return EWBC_STATUS_RUNNING;
}

uint8_t apparatus_begin(void *context, const ewbc_command *command, int32_t *detail)
{
    const int32_t *arguments = command->arguments;

    (void)detail;
    if (command->opcode == EWBC_OPCODE_INDICATOR) {
        return indicate(context, arguments[0], arguments[1]);
    }
    if (command->opcode == EWBC_OPCODE_TRIGGER) {
        return trigger(context, arguments[0], arguments[1]);
    }
    if (command->opcode == EWBC_OPCODE_STAGE_MOVE) {
        return depart(context, arguments);
    }
    return EWBC_STATUS_UNSUPPORTED;
}

void apparatus_stop(void *context)
{
    (void)context;
    panel.moving = 0;
    panel.outputs = 0;
    panel.indicator = 0;
    panel.stops++;
}

/* One step of the motors. Returns whether the stage is there, or at a switch. */
static bool step(int32_t most)
{
    bool there = true;
    uint8_t axis;

    panel.limits = 0;
    for (axis = 0; axis < APPARATUS_AXES; axis++) {
        const int32_t left = panel.target_nm[axis] - panel.place_nm[axis];
        const bool last = left <= most && left >= -most;
        const int32_t place = last ? panel.target_nm[axis] : panel.place_nm[axis] + (left < 0 ? -most : most);
        panel.place_nm[axis] = place;
        if (place == APPARATUS_TRAVEL_NM || place == -APPARATUS_TRAVEL_NM) {
            panel.limits = (uint8_t)(panel.limits | 1u << axis);
        }
        there = there && last;
    }
    return there;
}

static void move(apparatus *apparatus_, uint32_t elapsed_ms)
{
    const int32_t most = (int32_t)(elapsed_ms < MOST_MS ? elapsed_ms : MOST_MS) * APPARATUS_NM_PER_MS;
    const bool there = step(most);
    const uint8_t hit = (uint8_t)(panel.limits & apparatus_->beyond);

    if (hit != 0) {
        panel.moving = 0;
        ewbc_link_log(apparatus_->link, EWBC_LOG_WARNING, "the stage ran into a limit switch and stands");
        ewbc_link_command_done(apparatus_->link, EWBC_STATUS_FAILED, hit);
    } else if (there) {
        panel.moving = 0;
        ewbc_link_command_done(apparatus_->link, EWBC_STATUS_DONE, 0);
    }
}

/* Counted down by powers of ten: to divide takes long on 8 bits. */
static void put(char *at, const char *name, uint32_t count)
{
    static const uint16_t powers[DIGITS] = {10000, 1000, 100, 10, 1};
    const bool too_many = count > 99999ul;
    bool leading = true;
    uint8_t i;

    for (i = 0; i < NAME; i++) {
        *at++ = *name++;
    }
    for (i = 0; i < DIGITS; i++) {
        char digit = '0';
        while (!too_many && count >= powers[i]) {
            count -= powers[i];
            digit++;
        }
        leading = leading && digit == '0' && i != DIGITS - 1u;
        *at++ = too_many ? '*' : leading ? ' ' : digit;
    }
}

/* Two classes a line, and what they come to. */
static void draw(const counter_record *record)
{
    uint32_t total = 0;
    uint8_t i;

    for (i = 0; i <= EWBC_COUNTED_LABELS; i++) {
        const uint32_t count = i < EWBC_COUNTED_LABELS ? record->counts[i] : record->unidentified;
        put(&panel.display[i / 2u][i % 2u * (NAME + DIGITS)], names[i], count);
        total += count;
    }
    put(&panel.display[APPARATUS_LINES - 1][0], "all", total);
}

/* A change that could not be told yet is told later. */
static void tell_changes(apparatus *apparatus_)
{
    const uint8_t button = panel.button, changed = (uint8_t)(panel.limits ^ apparatus_->limits_told);
    uint8_t axis;

    if (button != apparatus_->button_told && ewbc_link_event(apparatus_->link, EWBC_EVENT_BUTTON, 0, button)) {
        apparatus_->button_told = button;
    }
    for (axis = 0; axis < APPARATUS_AXES; axis++) {
        const uint8_t bit = (uint8_t)(1u << axis);
        if ((changed & bit) &&
            ewbc_link_event(apparatus_->link, EWBC_EVENT_LIMIT_SWITCH, axis, (panel.limits & bit) != 0)) {
            apparatus_->limits_told ^= bit;
        }
    }
}

void apparatus_tick(apparatus *apparatus_, uint32_t now_ms)
{
    const uint32_t elapsed_ms = now_ms - apparatus_->now_ms;
    const counter_record *record = apparatus_->cells.record;

    apparatus_->now_ms = now_ms;
    if (panel.moving) {
        move(apparatus_, elapsed_ms);
    }
    if (panel.outputs != 0 && now_ms - apparatus_->low_ms < 0x80000000ul) {
        panel.outputs = 0;
        ewbc_link_command_done(apparatus_->link, EWBC_STATUS_DONE, 0);
    }
    if (apparatus_->timed && now_ms - apparatus_->dark_ms < 0x80000000ul) {
        apparatus_->timed = false;
        panel.indicator = 0;
    }
    tell_changes(apparatus_);
    if (apparatus_->drawn != record->generation && now_ms - apparatus_->drawn_ms >= DRAW_PERIOD_MS) {
        apparatus_->drawn = record->generation;
        apparatus_->drawn_ms = now_ms;
        draw(record);
    }
}
