#define BOARD_NAME "atmega328p"
#define RING_BYTES 512u
