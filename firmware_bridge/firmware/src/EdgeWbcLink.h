/* What an Arduino sketch includes; elsewhere include edge_wbc_link.h, and edge_wbc_control.h for commands and events. */
#include "../include/edge_wbc_control.h"
