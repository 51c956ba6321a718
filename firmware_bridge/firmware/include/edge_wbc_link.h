/* The instrument's half of the edge-wbc link: frames, exactly-once delivery, messages.

   Portable C99: no heap, no libc, one state of about 130 bytes.
   Nothing here waits. Call everything from one context (the main loop); an interrupt only fills a ring of bytes. */
#ifndef EDGE_WBC_LINK_H
#define EDGE_WBC_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge_wbc_messages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bytes on the wire, little-endian ---- */

#define ewbc_get8(at) (*(at))
#define ewbc_put8(at, value) ((void)(*(at) = (uint8_t)(value)))
uint16_t ewbc_get16(const uint8_t *at);
uint32_t ewbc_get32(const uint8_t *at);
uint64_t ewbc_get64(const uint8_t *at);
void ewbc_put16(uint8_t *at, uint16_t value);
void ewbc_put32(uint8_t *at, uint32_t value);
void ewbc_put64(uint8_t *at, uint64_t value);

/* CRC-32/ISO-HDLC as zlib's crc32(data, crc); begin with 0. */
uint32_t ewbc_crc32(uint32_t crc, const uint8_t *data, uint16_t length);

/* ---- frames ---- */

#define EWBC_MAX_FRAME (EWBC_MAX_PAYLOAD + EWBC_OVERHEAD) /* delimiters included */
#define EWBC_MAX_BODY (EWBC_MAX_FRAME - 3u)               /* without delimiters and COBS's byte */
#define EWBC_PAYLOAD_AT 9u                                /* of the payload in a frame to be encoded */

typedef struct {
    uint8_t type;
    uint8_t length; /* of the payload */
    uint16_t connection;
    uint32_t seq;
    const uint8_t *payload; /* inside the decoder: until its next byte */
} ewbc_frame;

typedef struct {
    uint32_t frames;     /* returned */
    uint32_t crc_errors; /* dropped: wrong checksum */
    uint32_t malformed;  /* dropped: not COBS, or too short */
    uint32_t oversize;   /* dropped: more bytes between delimiters than any frame has */
    uint8_t coded;       /* bytes since the delimiter */
    uint8_t left;        /* of the present COBS block */
    uint8_t body[EWBC_MAX_BODY];
} ewbc_decoder;

/* Take one byte; true when it completes a frame. A decoder begins as zeros. */
bool ewbc_decode(ewbc_decoder *decoder, uint8_t byte, ewbc_frame *frame);

/* Encode in place a frame whose payload stands at out + EWBC_PAYLOAD_AT; returns its bytes, length + EWBC_OVERHEAD. */
uint8_t ewbc_encode(uint8_t *out, uint8_t type, uint16_t connection, uint32_t seq, uint8_t length);

/* ---- messages to apply ---- */

typedef struct {
    uint32_t cell_id;
    uint64_t time_ns;     /* UTC since 1970 */
    uint8_t label;        /* EWBC_LABEL_… */
    uint8_t flags;        /* EWBC_FLAG_… */
    uint16_t probability; /* / 65535 */
    uint16_t box[4];      /* xmin, ymin, width, height in pixels of the camera's frame */
} ewbc_cell_result;

typedef struct {
    uint32_t counts[EWBC_COUNTED_LABELS]; /* of label 1, 2, 3 … */
    uint32_t total;
    uint32_t unidentified;
} ewbc_differential;

typedef struct {
    uint8_t type; /* EWBC_TYPE_CELL_RESULT or EWBC_TYPE_DIFFERENTIAL: says which one it is */
    union {
        ewbc_cell_result cell;
        ewbc_differential differential;
    } as;
} ewbc_message;

/* Decode the payload of a sequenced frame: 0, or the EWBC_NAK_… reason to refuse it with. */
uint8_t ewbc_message_decode(const ewbc_frame *frame, ewbc_message *message);

/* ---- the link ---- */

/* Commands, stops, events, heartbeat, clock and log: edge_wbc_control.h. */
typedef struct ewbc_control ewbc_control;

/* What the instrument is and does; one constant. `context` is the pointer given to ewbc_link_init. */
typedef struct {
    uint8_t unique_id[EWBC_HELLO_ACK_UNIQUE_ID_LENGTH];
    uint8_t firmware_version[EWBC_HELLO_ACK_FIRMWARE_VERSION_LENGTH];
    uint8_t persistence;   /* EWBC_PERSISTENCE_… : what survives a loss of power; say the truth */
    uint16_t window_bytes; /* unacknowledged bytes the host may send: at most the receive ring - EWBC_MAX_FRAME */

    /* Make the message take effect and remember `seq`, both or neither; false: not now, the host will send it again.
       Called once for each seq, each one more than the last. What it keeps of seq is what counts after a reset. */
    bool (*apply)(void *context, uint32_t seq, const ewbc_message *message);
    /* Remember that the stream is `stream_id` and its last seq 0; false: not now. */
    bool (*start_stream)(void *context, uint32_t stream_id);
    /* Put bytes on the wire, all of them, waiting for the transmitter if need be. */
    void (*write)(void *context, const uint8_t *data, uint8_t length);
    const ewbc_control *control; /* NULL: results and nothing else, as version 1.0 */
} ewbc_device;

typedef struct {
    const ewbc_device *device;
    void *context;
    uint32_t boot_id;
    uint32_t stream_id;  /* 0: none */
    uint32_t last_seq;   /* of the stream, applied */
    uint16_t connection; /* 0: not greeted since this boot */
    bool ack_due;
    ewbc_decoder decoder;
} ewbc_link;

/* Begin. boot_id: another at each boot. stream_id and last_seq: what the store remembers, or 0 and 0. */
void ewbc_link_init(ewbc_link *link, const ewbc_device *device, void *context, uint32_t boot_id, uint32_t stream_id,
                    uint32_t last_seq);

/* Take one received byte; applies and answers what it completes. An acknowledgement waits for ewbc_link_idle, so that
   one stands for several. */
void ewbc_link_byte(ewbc_link *link, uint8_t byte);

/* Call when no received byte waits: sends the acknowledgement that is due. */
void ewbc_link_idle(ewbc_link *link);

/* Take one decoded frame and write its answer to `out`, of EWBC_MAX_FRAME bytes; returns its length, 0 for none. For
   those who frame by other means (a radio, USB packets): the two functions above do this for you. What is no answer
   (EVENT, LOG, a command's end) goes to device->write all the same. Count the frames in link->decoder.frames. */
uint8_t ewbc_link_receive(ewbc_link *link, const ewbc_frame *frame, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
