/* The example as a process: its wire is the Unix socket EWBC_SOCKET, its store the file EWBC_STORE. Killed at any
   moment and started again it goes on as a board after a reset. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../board.h"

static int wire = -1;
static uint8_t received[RING_BYTES];
static ssize_t taken, held;

static void need(bool done, const char *what)
{
    if (!done) {
        ssize_t written = write(STDERR_FILENO, what, strlen(what));
        exit(written < 0 ? 2 : 1);
    }
}

board_kept *board_init(void)
{
    const char *path = getenv("EWBC_SOCKET"), *store = getenv("EWBC_STORE");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    board_kept *kept;
    int file;

    need(path != NULL && store != NULL && strlen(path) < sizeof address.sun_path, "EWBC_SOCKET or EWBC_STORE is wrong\n");
    memcpy(address.sun_path, path, strlen(path));
    wire = socket(AF_UNIX, SOCK_STREAM, 0);
    need(wire >= 0 && connect(wire, (const struct sockaddr *)&address, sizeof address) == 0, "no wire at EWBC_SOCKET\n");
    file = open(store, O_RDWR | O_CREAT, 0600);
    need(file >= 0 && ftruncate(file, sizeof *kept) == 0, "no store at EWBC_STORE\n");
    kept = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    need(kept != MAP_FAILED, "no store at EWBC_STORE\n");
    return kept;
}

bool board_read(uint8_t *byte)
{
    if (taken == held) {
        return false;
    }
    *byte = received[taken++];
    return true;
}

void board_write(const uint8_t *data, uint8_t length)
{
    if (send(wire, data, length, MSG_NOSIGNAL) != length) {
        exit(0);
    }
}

uint32_t board_overruns(void)
{
    return 0; /* the socket holds bytes back */
}

uint32_t board_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)now.tv_nsec / 1000000u;
}

void board_wait(void)
{
    struct pollfd arrived = {.fd = wire, .events = POLLIN};

    taken = held = 0;
    if (poll(&arrived, 1, 1) == 0) {
        return;
    }
    held = read(wire, received, sizeof received);
    if (held <= 0) {
        exit(0);
    }
}
