/* What an Arduino sketch includes; elsewhere include edge_wbc_link.h itself. */
#include "../include/edge_wbc_link.h"
