/* Beside the results: commands with a deadline, STOP, events that arrive once, heartbeat, clock, log.

   An instrument that wants them points ewbc_device.control to an ewbc_control and calls ewbc_link_tick; one that does not
   links nothing of this. docs/protocol.md, "Commands, stops, events", says what the host may rely on. */
#ifndef EDGE_WBC_CONTROL_H
#define EDGE_WBC_CONTROL_H

#include "edge_wbc_link.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t issuer; /* which program of the host, */
    uint16_t number; /* and which of its commands */
    uint8_t opcode;  /* EWBC_OPCODE_…, from 128 on your own */
    uint32_t deadline_ms;
    int32_t arguments[3];
} ewbc_command;

/* What an answer is made of; the payload is written where it will be encoded. */
typedef struct {
    uint8_t type; /* 0: no answer */
    uint8_t length;
    uint16_t connection;
    uint8_t *payload;
} ewbc_answer;

typedef struct {
    uint32_t now_ms; /* of the last tick */
    /* the last command */
    ewbc_command last;
    uint32_t began_ms;
    int32_t detail;
    uint8_t status;
    bool known;  /* there was one since this boot */
    bool untold; /* it has ended, and the host was not told yet */
    /* the last event */
    bool event_waits;
    uint8_t event, event_source;
    int32_t event_value;
    uint32_t event_ms, event_number, event_sent_ms;
    /* the host */
    uint16_t host_capabilities;
    bool heard;
    uint32_t heard_ms, heard_frames;
} ewbc_control_state;

/* What the instrument can do beside taking results; one constant. `context` is the pointer given to ewbc_link_init. */
struct ewbc_control {
    /* ewbc_control_receive, and no other: the one place that pulls in the code. */
    uint8_t (*receive)(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out);
    ewbc_control_state *state; /* yours, zeros at start */
    uint16_t commands;         /* EWBC_CAPABILITY_INDICATOR, _TRIGGER, _STAGE: which `begin` carries out */
    uint32_t silence_stop_ms;  /* stop after so long without a frame that checks; 0: never. 2000 is a good value */

    /* Begin a command and return its status: EWBC_STATUS_RUNNING where its end will be told by ewbc_link_command_done,
       else how it ended. Called once for each command, and never while one runs. *detail is yours, 0 before. */
    uint8_t (*begin)(void *context, const ewbc_command *command, int32_t *detail);
    /* End everything that moves and set the outputs to rest, before returning; also when nothing does. The running
       command has ended already. */
    void (*stop)(void *context);
    /* Bytes that came when the ring was full, since the start; NULL: not counted. */
    uint32_t (*overruns)(void *context);
};

/* For ewbc_control.receive alone. */
uint8_t ewbc_control_receive(ewbc_link *link, const ewbc_frame *frame, ewbc_answer *out);

/* Say what time it is, each millisecond or so; the clock may wrap. Ends a command whose deadline is over, stops on
   silence, sends how a command ended and the event that waits. Times told to the host are those of the last tick. */
void ewbc_link_tick(ewbc_link *link, uint32_t now_ms);

/* The running command has ended, which the next tick tells the host; without effect when none runs, as after a STOP. */
void ewbc_link_command_done(ewbc_link *link, uint8_t status, int32_t detail);

/* Tell the host, surely and once, at the next tick with a host that wants to know; false: not taken, as the one before
   has not arrived yet. */
bool ewbc_link_event(ewbc_link *link, uint8_t event, uint8_t source, int32_t value);

/* Send a line of UTF-8, of which 63 bytes go, now or never. */
void ewbc_link_log(ewbc_link *link, uint8_t level, const char *text);

#ifdef __cplusplus
}
#endif

#endif
