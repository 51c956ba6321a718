/* 00 | COBS( type u8 | connection u16 | seq u32 | payload | crc32 u32 ) | 00        little-endian */
#include "../include/edge_wbc_link.h"

#define HEADER 7u
#define CHECKSUM 4u
#define MAX_CODED (EWBC_MAX_BODY + 1u)
/* What the CRC of data followed by its own CRC always is. */
#define CRC_RESIDUE 0x2144DF1Cul

uint16_t ewbc_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | (uint16_t)((uint16_t)at[1] << 8));
}

uint32_t ewbc_get32(const uint8_t *at)
{
    return (uint32_t)ewbc_get16(at) | (uint32_t)ewbc_get16(at + 2) << 16;
}

uint64_t ewbc_get64(const uint8_t *at)
{
    return (uint64_t)ewbc_get32(at) | (uint64_t)ewbc_get32(at + 4) << 32;
}

void ewbc_put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void ewbc_put32(uint8_t *at, uint32_t value)
{
    ewbc_put16(at, (uint16_t)value);
    ewbc_put16(at + 2, (uint16_t)(value >> 16));
}

void ewbc_put64(uint8_t *at, uint64_t value)
{
    ewbc_put32(at, (uint32_t)value);
    ewbc_put32(at + 4, (uint32_t)(value >> 32));
}

/* Bit by bit: a table of 1 KB buys speed that a UART does not need. */
uint32_t ewbc_crc32(uint32_t crc, const uint8_t *data, uint16_t length)
{
    crc = ~crc;
    for (; length != 0; length--) {
        uint8_t bit;
        crc ^= *data++;
        for (bit = 0; bit < 8; bit++) {
            crc = (crc & 1u) ? (crc >> 1) ^ 0xEDB88320ul : crc >> 1;
        }
    }
    return ~crc;
}

bool ewbc_decode(ewbc_decoder *decoder, uint8_t byte, ewbc_frame *frame)
{
    const uint8_t coded = decoder->coded, left = decoder->left;
    uint8_t length;

    if (byte != 0) {
        if (coded < MAX_CODED) {
            /* The first byte of a block says its length and stands for the zero that ended the block before; a block
               of 254 without a zero behind it is longer than any frame. */
            if (coded != 0) {
                decoder->body[coded - 1u] = left != 0 ? byte : 0;
            }
            decoder->left = (uint8_t)((left != 0 ? left : byte) - 1u);
            decoder->coded = (uint8_t)(coded + 1u);
        } else if (coded == MAX_CODED) {
            decoder->coded = MAX_CODED + 1u;
            decoder->oversize++;
        }
        return false;
    }
    decoder->coded = 0;
    decoder->left = 0;
    if (coded == 0 || coded > MAX_CODED) {
        return false;
    }
    length = (uint8_t)(coded - 1u);
    if (left != 0 || length < HEADER + CHECKSUM) {
        decoder->malformed++;
        return false;
    }
    if (ewbc_crc32(0, decoder->body, length) != CRC_RESIDUE) {
        decoder->crc_errors++;
        return false;
    }
    decoder->frames++;
    frame->type = decoder->body[0];
    frame->connection = ewbc_get16(decoder->body + 1);
    frame->seq = ewbc_get32(decoder->body + 3);
    frame->payload = decoder->body + HEADER;
    frame->length = (uint8_t)(length - (HEADER + CHECKSUM));
    return true;
}

uint8_t ewbc_encode(uint8_t *out, uint8_t type, uint16_t connection, uint32_t seq, uint8_t length)
{
    const uint8_t end = (uint8_t)(EWBC_PAYLOAD_AT + length + CHECKSUM);
    uint8_t block = 1, at;

    out[0] = 0;
    out[2] = type;
    ewbc_put16(out + 3, connection);
    ewbc_put32(out + 5, seq);
    ewbc_put32(out + EWBC_PAYLOAD_AT + length, ewbc_crc32(0, out + 2, (uint16_t)(HEADER + length)));
    for (at = 2; at < end; at++) {
        if (out[at] == 0) {
            out[block] = (uint8_t)(at - block);
            block = at;
        }
    }
    out[block] = (uint8_t)(end - block);
    out[end] = 0;
    return (uint8_t)(end + 1u);
}
