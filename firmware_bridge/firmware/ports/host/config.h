#define BOARD_NAME "host"
#define RING_BYTES 2048u
