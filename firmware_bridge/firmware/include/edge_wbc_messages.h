/* Written by generate.py from firmware_bridge/schema.py and protocol.py. Change those, then run it again.
   Fields are little-endian, without padding; payload is a uint8_t *. */
#ifndef EDGE_WBC_MESSAGES_H
#define EDGE_WBC_MESSAGES_H

#define EWBC_VERSION_MAJOR 1u
#define EWBC_VERSION_MINOR 1u
#define EWBC_SCHEMA_HASH 0x8754040Cul

#define EWBC_MAX_PAYLOAD 64u
#define EWBC_OVERHEAD 14u

/* Message types. */
#define EWBC_TYPE_HELLO 0x01u
#define EWBC_TYPE_HELLO_ACK 0x02u
#define EWBC_TYPE_NEW_STREAM 0x03u
#define EWBC_TYPE_ACK 0x04u
#define EWBC_TYPE_NAK 0x05u
#define EWBC_TYPE_HEARTBEAT 0x06u
#define EWBC_TYPE_TIME_SYNC 0x07u
#define EWBC_TYPE_LOG 0x08u
#define EWBC_TYPE_EVENT 0x09u
#define EWBC_TYPE_STOP 0x0Au
#define EWBC_TYPE_COMMAND_DONE 0x0Bu
#define EWBC_TYPE_COMMAND 0x0Cu
#define EWBC_TYPE_CELL_RESULT 0x10u
#define EWBC_TYPE_DIFFERENTIAL 0x11u
#define EWBC_IS_SEQUENCED(type) (((type) & 0xF0u) == 0x10u)

#define EWBC_NAK_GAP 1u
#define EWBC_NAK_UNSUPPORTED 2u
#define EWBC_NAK_MALFORMED 3u
#define EWBC_NAK_NO_STREAM 4u
#define EWBC_NAK_VERSION 5u

#define EWBC_PERSISTENCE_ATOMIC 1u
#define EWBC_PERSISTENCE_COMMIT_BEFORE 2u
#define EWBC_PERSISTENCE_RAM_ONLY 3u

#define EWBC_CAPABILITY_COMMAND 0x0001u
#define EWBC_CAPABILITY_EVENT 0x0002u
#define EWBC_CAPABILITY_HEARTBEAT 0x0004u
#define EWBC_CAPABILITY_TIME_SYNC 0x0008u
#define EWBC_CAPABILITY_LOG 0x0010u
#define EWBC_CAPABILITY_INDICATOR 0x0100u
#define EWBC_CAPABILITY_TRIGGER 0x0200u
#define EWBC_CAPABILITY_STAGE 0x0400u

#define EWBC_OPCODE_INDICATOR 0x01u
#define EWBC_OPCODE_TRIGGER 0x02u
#define EWBC_OPCODE_STAGE_MOVE 0x03u
#define EWBC_STATUS_RUNNING 0u
#define EWBC_STATUS_DONE 1u
#define EWBC_STATUS_FAILED 2u
#define EWBC_STATUS_UNSUPPORTED 3u
#define EWBC_STATUS_BAD_ARGUMENT 4u
#define EWBC_STATUS_EXPIRED 5u
#define EWBC_STATUS_STOPPED 6u
#define EWBC_STATUS_BUSY 7u
#define EWBC_EVENT_BUTTON 0x01u
#define EWBC_EVENT_LIMIT_SWITCH 0x02u
#define EWBC_EVENT_SAMPLE_LOADED 0x03u
#define EWBC_EVENT_SAMPLE_REMOVED 0x04u
#define EWBC_EVENT_EMERGENCY_STOP 0x05u
#define EWBC_LOG_ERROR 1u
#define EWBC_LOG_WARNING 2u
#define EWBC_LOG_INFO 3u

#define EWBC_LABEL_NEUTROPHIL 1u
#define EWBC_LABEL_EOSINOPHIL 2u
#define EWBC_LABEL_BASOPHIL 3u
#define EWBC_LABEL_LYMPHOCYTE 4u
#define EWBC_LABEL_MONOCYTE 5u
#define EWBC_LABEL_IMMATURE_GRANULOCYTE 6u
#define EWBC_LABEL_ERYTHROBLAST 7u
#define EWBC_LABEL_PLATELET 8u
#define EWBC_LABEL_NOT_A_CELL 9u
#define EWBC_LABEL_UNIDENTIFIED 255u
/* Labels 1 … this are counted. */
#define EWBC_COUNTED_LABELS 9u

#define EWBC_FLAG_UNIDENTIFIED 0x01u
#define EWBC_FLAG_REDELIVERED 0x02u

/* HELLO */
#define EWBC_HELLO_VERSION_MAJOR_AT 0u
#define EWBC_GET_HELLO_VERSION_MAJOR(payload) ewbc_get8((payload) + 0)
#define EWBC_PUT_HELLO_VERSION_MAJOR(payload, value) ewbc_put8((payload) + 0, (value))
#define EWBC_HELLO_VERSION_MINOR_AT 1u
#define EWBC_GET_HELLO_VERSION_MINOR(payload) ewbc_get8((payload) + 1)
#define EWBC_PUT_HELLO_VERSION_MINOR(payload, value) ewbc_put8((payload) + 1, (value))
#define EWBC_HELLO_CAPABILITIES_AT 2u
#define EWBC_GET_HELLO_CAPABILITIES(payload) ewbc_get32((payload) + 2)
#define EWBC_PUT_HELLO_CAPABILITIES(payload, value) ewbc_put32((payload) + 2, (value))
#define EWBC_HELLO_SCHEMA_HASH_AT 6u
#define EWBC_GET_HELLO_SCHEMA_HASH(payload) ewbc_get32((payload) + 6)
#define EWBC_PUT_HELLO_SCHEMA_HASH(payload, value) ewbc_put32((payload) + 6, (value))
#define EWBC_HELLO_STREAM_ID_AT 10u
#define EWBC_GET_HELLO_STREAM_ID(payload) ewbc_get32((payload) + 10)
#define EWBC_PUT_HELLO_STREAM_ID(payload, value) ewbc_put32((payload) + 10, (value))
#define EWBC_HELLO_SIZE 14u

/* HELLO_ACK */
#define EWBC_HELLO_ACK_VERSION_MAJOR_AT 0u
#define EWBC_GET_HELLO_ACK_VERSION_MAJOR(payload) ewbc_get8((payload) + 0)
#define EWBC_PUT_HELLO_ACK_VERSION_MAJOR(payload, value) ewbc_put8((payload) + 0, (value))
#define EWBC_HELLO_ACK_VERSION_MINOR_AT 1u
#define EWBC_GET_HELLO_ACK_VERSION_MINOR(payload) ewbc_get8((payload) + 1)
#define EWBC_PUT_HELLO_ACK_VERSION_MINOR(payload, value) ewbc_put8((payload) + 1, (value))
#define EWBC_HELLO_ACK_CAPABILITIES_AT 2u
#define EWBC_GET_HELLO_ACK_CAPABILITIES(payload) ewbc_get32((payload) + 2)
#define EWBC_PUT_HELLO_ACK_CAPABILITIES(payload, value) ewbc_put32((payload) + 2, (value))
#define EWBC_HELLO_ACK_UNIQUE_ID_AT 6u
#define EWBC_HELLO_ACK_UNIQUE_ID_LENGTH 12u
#define EWBC_HELLO_ACK_FIRMWARE_VERSION_AT 18u
#define EWBC_HELLO_ACK_FIRMWARE_VERSION_LENGTH 3u
#define EWBC_HELLO_ACK_BOOT_ID_AT 21u
#define EWBC_GET_HELLO_ACK_BOOT_ID(payload) ewbc_get32((payload) + 21)
#define EWBC_PUT_HELLO_ACK_BOOT_ID(payload, value) ewbc_put32((payload) + 21, (value))
#define EWBC_HELLO_ACK_STREAM_ID_AT 25u
#define EWBC_GET_HELLO_ACK_STREAM_ID(payload) ewbc_get32((payload) + 25)
#define EWBC_PUT_HELLO_ACK_STREAM_ID(payload, value) ewbc_put32((payload) + 25, (value))
#define EWBC_HELLO_ACK_LAST_APPLIED_SEQ_AT 29u
#define EWBC_GET_HELLO_ACK_LAST_APPLIED_SEQ(payload) ewbc_get32((payload) + 29)
#define EWBC_PUT_HELLO_ACK_LAST_APPLIED_SEQ(payload, value) ewbc_put32((payload) + 29, (value))
#define EWBC_HELLO_ACK_WINDOW_BYTES_AT 33u
#define EWBC_GET_HELLO_ACK_WINDOW_BYTES(payload) ewbc_get16((payload) + 33)
#define EWBC_PUT_HELLO_ACK_WINDOW_BYTES(payload, value) ewbc_put16((payload) + 33, (value))
#define EWBC_HELLO_ACK_LARGEST_PAYLOAD_AT 35u
#define EWBC_GET_HELLO_ACK_LARGEST_PAYLOAD(payload) ewbc_get8((payload) + 35)
#define EWBC_PUT_HELLO_ACK_LARGEST_PAYLOAD(payload, value) ewbc_put8((payload) + 35, (value))
#define EWBC_HELLO_ACK_PERSISTENCE_AT 36u
#define EWBC_GET_HELLO_ACK_PERSISTENCE(payload) ewbc_get8((payload) + 36)
#define EWBC_PUT_HELLO_ACK_PERSISTENCE(payload, value) ewbc_put8((payload) + 36, (value))
#define EWBC_HELLO_ACK_SIZE 37u

/* NEW_STREAM */
#define EWBC_NEW_STREAM_STREAM_ID_AT 0u
#define EWBC_GET_NEW_STREAM_STREAM_ID(payload) ewbc_get32((payload) + 0)
#define EWBC_PUT_NEW_STREAM_STREAM_ID(payload, value) ewbc_put32((payload) + 0, (value))
#define EWBC_NEW_STREAM_SIZE 4u

/* ACK */
#define EWBC_ACK_SEQ_AT 0u
#define EWBC_GET_ACK_SEQ(payload) ewbc_get32((payload) + 0)
#define EWBC_PUT_ACK_SEQ(payload, value) ewbc_put32((payload) + 0, (value))
#define EWBC_ACK_WINDOW_BYTES_AT 4u
#define EWBC_GET_ACK_WINDOW_BYTES(payload) ewbc_get16((payload) + 4)
#define EWBC_PUT_ACK_WINDOW_BYTES(payload, value) ewbc_put16((payload) + 4, (value))
#define EWBC_ACK_SIZE 6u

/* NAK */
#define EWBC_NAK_REASON_AT 0u
#define EWBC_GET_NAK_REASON(payload) ewbc_get8((payload) + 0)
#define EWBC_PUT_NAK_REASON(payload, value) ewbc_put8((payload) + 0, (value))
#define EWBC_NAK_EXPECTED_SEQ_AT 1u
#define EWBC_GET_NAK_EXPECTED_SEQ(payload) ewbc_get32((payload) + 1)
#define EWBC_PUT_NAK_EXPECTED_SEQ(payload, value) ewbc_put32((payload) + 1, (value))
#define EWBC_NAK_SIZE 5u

/* CELL_RESULT */
#define EWBC_CELL_RESULT_CELL_ID_AT 0u
#define EWBC_GET_CELL_RESULT_CELL_ID(payload) ewbc_get32((payload) + 0)
#define EWBC_PUT_CELL_RESULT_CELL_ID(payload, value) ewbc_put32((payload) + 0, (value))
#define EWBC_CELL_RESULT_TIME_NS_AT 4u
#define EWBC_GET_CELL_RESULT_TIME_NS(payload) ewbc_get64((payload) + 4)
#define EWBC_PUT_CELL_RESULT_TIME_NS(payload, value) ewbc_put64((payload) + 4, (value))
#define EWBC_CELL_RESULT_LABEL_AT 12u
#define EWBC_GET_CELL_RESULT_LABEL(payload) ewbc_get8((payload) + 12)
#define EWBC_PUT_CELL_RESULT_LABEL(payload, value) ewbc_put8((payload) + 12, (value))
#define EWBC_CELL_RESULT_FLAGS_AT 13u
#define EWBC_GET_CELL_RESULT_FLAGS(payload) ewbc_get8((payload) + 13)
#define EWBC_PUT_CELL_RESULT_FLAGS(payload, value) ewbc_put8((payload) + 13, (value))
#define EWBC_CELL_RESULT_PROBABILITY_AT 14u
#define EWBC_GET_CELL_RESULT_PROBABILITY(payload) ewbc_get16((payload) + 14)
#define EWBC_PUT_CELL_RESULT_PROBABILITY(payload, value) ewbc_put16((payload) + 14, (value))
#define EWBC_CELL_RESULT_BOX_XMIN_AT 16u
#define EWBC_GET_CELL_RESULT_BOX_XMIN(payload) ewbc_get16((payload) + 16)
#define EWBC_PUT_CELL_RESULT_BOX_XMIN(payload, value) ewbc_put16((payload) + 16, (value))
#define EWBC_CELL_RESULT_BOX_YMIN_AT 18u
#define EWBC_GET_CELL_RESULT_BOX_YMIN(payload) ewbc_get16((payload) + 18)
#define EWBC_PUT_CELL_RESULT_BOX_YMIN(payload, value) ewbc_put16((payload) + 18, (value))
#define EWBC_CELL_RESULT_BOX_WIDTH_AT 20u
#define EWBC_GET_CELL_RESULT_BOX_WIDTH(payload) ewbc_get16((payload) + 20)
#define EWBC_PUT_CELL_RESULT_BOX_WIDTH(payload, value) ewbc_put16((payload) + 20, (value))
#define EWBC_CELL_RESULT_BOX_HEIGHT_AT 22u
#define EWBC_GET_CELL_RESULT_BOX_HEIGHT(payload) ewbc_get16((payload) + 22)
#define EWBC_PUT_CELL_RESULT_BOX_HEIGHT(payload, value) ewbc_put16((payload) + 22, (value))
#define EWBC_CELL_RESULT_SIZE 24u

/* DIFFERENTIAL */
#define EWBC_DIFFERENTIAL_NEUTROPHIL_AT 0u
#define EWBC_GET_DIFFERENTIAL_NEUTROPHIL(payload) ewbc_get32((payload) + 0)
#define EWBC_PUT_DIFFERENTIAL_NEUTROPHIL(payload, value) ewbc_put32((payload) + 0, (value))
#define EWBC_DIFFERENTIAL_EOSINOPHIL_AT 4u
#define EWBC_GET_DIFFERENTIAL_EOSINOPHIL(payload) ewbc_get32((payload) + 4)
#define EWBC_PUT_DIFFERENTIAL_EOSINOPHIL(payload, value) ewbc_put32((payload) + 4, (value))
#define EWBC_DIFFERENTIAL_BASOPHIL_AT 8u
#define EWBC_GET_DIFFERENTIAL_BASOPHIL(payload) ewbc_get32((payload) + 8)
#define EWBC_PUT_DIFFERENTIAL_BASOPHIL(payload, value) ewbc_put32((payload) + 8, (value))
#define EWBC_DIFFERENTIAL_LYMPHOCYTE_AT 12u
#define EWBC_GET_DIFFERENTIAL_LYMPHOCYTE(payload) ewbc_get32((payload) + 12)
#define EWBC_PUT_DIFFERENTIAL_LYMPHOCYTE(payload, value) ewbc_put32((payload) + 12, (value))
#define EWBC_DIFFERENTIAL_MONOCYTE_AT 16u
#define EWBC_GET_DIFFERENTIAL_MONOCYTE(payload) ewbc_get32((payload) + 16)
#define EWBC_PUT_DIFFERENTIAL_MONOCYTE(payload, value) ewbc_put32((payload) + 16, (value))
#define EWBC_DIFFERENTIAL_IMMATURE_GRANULOCYTE_AT 20u
#define EWBC_GET_DIFFERENTIAL_IMMATURE_GRANULOCYTE(payload) ewbc_get32((payload) + 20)
#define EWBC_PUT_DIFFERENTIAL_IMMATURE_GRANULOCYTE(payload, value) ewbc_put32((payload) + 20, (value))
#define EWBC_DIFFERENTIAL_ERYTHROBLAST_AT 24u
#define EWBC_GET_DIFFERENTIAL_ERYTHROBLAST(payload) ewbc_get32((payload) + 24)
#define EWBC_PUT_DIFFERENTIAL_ERYTHROBLAST(payload, value) ewbc_put32((payload) + 24, (value))
#define EWBC_DIFFERENTIAL_PLATELET_AT 28u
#define EWBC_GET_DIFFERENTIAL_PLATELET(payload) ewbc_get32((payload) + 28)
#define EWBC_PUT_DIFFERENTIAL_PLATELET(payload, value) ewbc_put32((payload) + 28, (value))
#define EWBC_DIFFERENTIAL_NOT_A_CELL_AT 32u
#define EWBC_GET_DIFFERENTIAL_NOT_A_CELL(payload) ewbc_get32((payload) + 32)
#define EWBC_PUT_DIFFERENTIAL_NOT_A_CELL(payload, value) ewbc_put32((payload) + 32, (value))
#define EWBC_DIFFERENTIAL_TOTAL_AT 36u
#define EWBC_GET_DIFFERENTIAL_TOTAL(payload) ewbc_get32((payload) + 36)
#define EWBC_PUT_DIFFERENTIAL_TOTAL(payload, value) ewbc_put32((payload) + 36, (value))
#define EWBC_DIFFERENTIAL_UNIDENTIFIED_AT 40u
#define EWBC_GET_DIFFERENTIAL_UNIDENTIFIED(payload) ewbc_get32((payload) + 40)
#define EWBC_PUT_DIFFERENTIAL_UNIDENTIFIED(payload, value) ewbc_put32((payload) + 40, (value))
#define EWBC_DIFFERENTIAL_SIZE 44u

/* HEARTBEAT */
#define EWBC_HEARTBEAT_UPTIME_MS_AT 0u
#define EWBC_GET_HEARTBEAT_UPTIME_MS(payload) ewbc_get32((payload) + 0)
#define EWBC_PUT_HEARTBEAT_UPTIME_MS(payload, value) ewbc_put32((payload) + 0, (value))
#define EWBC_HEARTBEAT_FRAMES_AT 4u
#define EWBC_GET_HEARTBEAT_FRAMES(payload) ewbc_get32((payload) + 4)
#define EWBC_PUT_HEARTBEAT_FRAMES(payload, value) ewbc_put32((payload) + 4, (value))
#define EWBC_HEARTBEAT_CRC_ERRORS_AT 8u
#define EWBC_GET_HEARTBEAT_CRC_ERRORS(payload) ewbc_get32((payload) + 8)
#define EWBC_PUT_HEARTBEAT_CRC_ERRORS(payload, value) ewbc_put32((payload) + 8, (value))
#define EWBC_HEARTBEAT_DROPPED_AT 12u
#define EWBC_GET_HEARTBEAT_DROPPED(payload) ewbc_get32((payload) + 12)
#define EWBC_PUT_HEARTBEAT_DROPPED(payload, value) ewbc_put32((payload) + 12, (value))
#define EWBC_HEARTBEAT_OVERRUNS_AT 16u
#define EWBC_GET_HEARTBEAT_OVERRUNS(payload) ewbc_get32((payload) + 16)
#define EWBC_PUT_HEARTBEAT_OVERRUNS(payload, value) ewbc_put32((payload) + 16, (value))
#define EWBC_HEARTBEAT_SIZE 20u

/* TIME_SYNC */
#define EWBC_TIME_SYNC_HOST_SENT_NS_AT 0u
#define EWBC_GET_TIME_SYNC_HOST_SENT_NS(payload) ewbc_get64((payload) + 0)
#define EWBC_PUT_TIME_SYNC_HOST_SENT_NS(payload, value) ewbc_put64((payload) + 0, (value))
#define EWBC_TIME_SYNC_RECEIVED_MS_AT 8u
#define EWBC_GET_TIME_SYNC_RECEIVED_MS(payload) ewbc_get32((payload) + 8)
#define EWBC_PUT_TIME_SYNC_RECEIVED_MS(payload, value) ewbc_put32((payload) + 8, (value))
#define EWBC_TIME_SYNC_SENT_MS_AT 12u
#define EWBC_GET_TIME_SYNC_SENT_MS(payload) ewbc_get32((payload) + 12)
#define EWBC_PUT_TIME_SYNC_SENT_MS(payload, value) ewbc_put32((payload) + 12, (value))
#define EWBC_TIME_SYNC_SIZE 16u

/* LOG */
#define EWBC_LOG_LEVEL_AT 0u
#define EWBC_GET_LOG_LEVEL(payload) ewbc_get8((payload) + 0)
#define EWBC_PUT_LOG_LEVEL(payload, value) ewbc_put8((payload) + 0, (value))
#define EWBC_LOG_TEXT_AT 1u
/* text takes what is left of the payload; the size is without it. */
#define EWBC_LOG_SIZE 1u

/* EVENT */
#define EWBC_EVENT_EVENT_AT 0u
#define EWBC_GET_EVENT_EVENT(payload) ewbc_get8((payload) + 0)
#define EWBC_PUT_EVENT_EVENT(payload, value) ewbc_put8((payload) + 0, (value))
#define EWBC_EVENT_SOURCE_AT 1u
#define EWBC_GET_EVENT_SOURCE(payload) ewbc_get8((payload) + 1)
#define EWBC_PUT_EVENT_SOURCE(payload, value) ewbc_put8((payload) + 1, (value))
#define EWBC_EVENT_VALUE_AT 2u
#define EWBC_GET_EVENT_VALUE(payload) ((int32_t)ewbc_get32((payload) + 2))
#define EWBC_PUT_EVENT_VALUE(payload, value) ewbc_put32((payload) + 2, (uint32_t)(value))
#define EWBC_EVENT_TIME_MS_AT 6u
#define EWBC_GET_EVENT_TIME_MS(payload) ewbc_get32((payload) + 6)
#define EWBC_PUT_EVENT_TIME_MS(payload, value) ewbc_put32((payload) + 6, (value))
#define EWBC_EVENT_SIZE 10u

/* STOP */
#define EWBC_STOP_STOP_AT 0u
#define EWBC_GET_STOP_STOP(payload) ewbc_get16((payload) + 0)
#define EWBC_PUT_STOP_STOP(payload, value) ewbc_put16((payload) + 0, (value))
#define EWBC_STOP_ISSUER_AT 2u
#define EWBC_GET_STOP_ISSUER(payload) ewbc_get16((payload) + 2)
#define EWBC_PUT_STOP_ISSUER(payload, value) ewbc_put16((payload) + 2, (value))
#define EWBC_STOP_NUMBER_AT 4u
#define EWBC_GET_STOP_NUMBER(payload) ewbc_get16((payload) + 4)
#define EWBC_PUT_STOP_NUMBER(payload, value) ewbc_put16((payload) + 4, (value))
#define EWBC_STOP_SIZE 6u

/* COMMAND_DONE */
#define EWBC_COMMAND_DONE_ISSUER_AT 0u
#define EWBC_GET_COMMAND_DONE_ISSUER(payload) ewbc_get16((payload) + 0)
#define EWBC_PUT_COMMAND_DONE_ISSUER(payload, value) ewbc_put16((payload) + 0, (value))
#define EWBC_COMMAND_DONE_NUMBER_AT 2u
#define EWBC_GET_COMMAND_DONE_NUMBER(payload) ewbc_get16((payload) + 2)
#define EWBC_PUT_COMMAND_DONE_NUMBER(payload, value) ewbc_put16((payload) + 2, (value))
#define EWBC_COMMAND_DONE_STATUS_AT 4u
#define EWBC_GET_COMMAND_DONE_STATUS(payload) ewbc_get8((payload) + 4)
#define EWBC_PUT_COMMAND_DONE_STATUS(payload, value) ewbc_put8((payload) + 4, (value))
#define EWBC_COMMAND_DONE_DETAIL_AT 5u
#define EWBC_GET_COMMAND_DONE_DETAIL(payload) ((int32_t)ewbc_get32((payload) + 5))
#define EWBC_PUT_COMMAND_DONE_DETAIL(payload, value) ewbc_put32((payload) + 5, (uint32_t)(value))
#define EWBC_COMMAND_DONE_SIZE 9u

/* COMMAND */
#define EWBC_COMMAND_ISSUER_AT 0u
#define EWBC_GET_COMMAND_ISSUER(payload) ewbc_get16((payload) + 0)
#define EWBC_PUT_COMMAND_ISSUER(payload, value) ewbc_put16((payload) + 0, (value))
#define EWBC_COMMAND_NUMBER_AT 2u
#define EWBC_GET_COMMAND_NUMBER(payload) ewbc_get16((payload) + 2)
#define EWBC_PUT_COMMAND_NUMBER(payload, value) ewbc_put16((payload) + 2, (value))
#define EWBC_COMMAND_OPCODE_AT 4u
#define EWBC_GET_COMMAND_OPCODE(payload) ewbc_get8((payload) + 4)
#define EWBC_PUT_COMMAND_OPCODE(payload, value) ewbc_put8((payload) + 4, (value))
#define EWBC_COMMAND_DEADLINE_MS_AT 5u
#define EWBC_GET_COMMAND_DEADLINE_MS(payload) ewbc_get32((payload) + 5)
#define EWBC_PUT_COMMAND_DEADLINE_MS(payload, value) ewbc_put32((payload) + 5, (value))
#define EWBC_COMMAND_ARGUMENT_1_AT 9u
#define EWBC_GET_COMMAND_ARGUMENT_1(payload) ((int32_t)ewbc_get32((payload) + 9))
#define EWBC_PUT_COMMAND_ARGUMENT_1(payload, value) ewbc_put32((payload) + 9, (uint32_t)(value))
#define EWBC_COMMAND_ARGUMENT_2_AT 13u
#define EWBC_GET_COMMAND_ARGUMENT_2(payload) ((int32_t)ewbc_get32((payload) + 13))
#define EWBC_PUT_COMMAND_ARGUMENT_2(payload, value) ewbc_put32((payload) + 13, (uint32_t)(value))
#define EWBC_COMMAND_ARGUMENT_3_AT 17u
#define EWBC_GET_COMMAND_ARGUMENT_3(payload) ((int32_t)ewbc_get32((payload) + 17))
#define EWBC_PUT_COMMAND_ARGUMENT_3(payload, value) ewbc_put32((payload) + 17, (uint32_t)(value))
#define EWBC_COMMAND_SIZE 21u

#endif
