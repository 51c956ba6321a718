/* An ATmega328P in simavr:  simavr-board IMAGE.elf WIRE CONTROL
   Connects its UART to the Unix socket WIRE and listens on the Unix socket CONTROL for lines: `reset`; `read ADDRESS
   LENGTH` (of data memory, answered with the bytes themselves); `write ADDRESS BYTE`; `stop`; `cont`; `quit`. The
   others are answered `ok`. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#define CLOCK_HZ 16000000
#define CYCLES_A_BYTE 1500 /* as simavr counts: 11 bits, at the 117647 baud that a divider of 16 gives */
#define CYCLES_BETWEEN_POLLS 2000
#define MOST_BEHIND_NS 50000000

static int wire, listening, control = -1;

static void need(int done, const char *what)
{
    if (!done) {
        fprintf(stderr, "simavr-board: %s\n", what);
        exit(1);
    }
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    need(strlen(path) < sizeof address.sun_path, "path too long");
    strcpy(address.sun_path, path);
    return address;
}

static void on_output(struct avr_irq_t *irq, uint32_t value, void *param)
{
    const unsigned char byte = (unsigned char)value;
    (void)irq;
    (void)param;
    if (send(wire, &byte, 1, MSG_NOSIGNAL) != 1) {
        exit(0);
    }
}

/* simavr keeps to the clock only where the processor sleeps; one that is always awake would run ahead of its wire. What
   this machine was too busy for is made up for, time that the board was stopped is not. */
static void keep_to_the_clock(avr_cycle_count_t cycle)
{
    static int64_t began_ns;
    const int64_t cycles_ns = (int64_t)(cycle * 125 / 2); /* of 62.5 ns */
    struct timespec now, wait = {0, 0};
    int64_t now_ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (began_ns == 0 || now_ns - began_ns - cycles_ns > MOST_BEHIND_NS) {
        began_ns = now_ns - cycles_ns;
    } else if (began_ns + cycles_ns > now_ns) {
        wait.tv_nsec = (long)(began_ns + cycles_ns - now_ns);
        nanosleep(&wait, NULL);
    }
}

static int readable(int descriptor, int timeout_ms)
{
    struct pollfd poll_one = {.fd = descriptor, .events = POLLIN};
    return poll(&poll_one, 1, timeout_ms) > 0;
}

static void answer(const void *data, size_t size)
{
    if (send(control, data, size, MSG_NOSIGNAL) != (ssize_t)size) {
        close(control);
        control = -1;
    }
}

/* One line of at most 63 characters in one piece: whoever controls sends it so. */
static void obey(avr_t *avr, int *stopped)
{
    char line[64];
    unsigned at, length, byte;
    ssize_t count;

    if (control < 0) {
        if (readable(listening, *stopped ? 1 : 0)) {
            control = accept(listening, NULL, NULL);
        }
        return;
    }
    if (!readable(control, *stopped ? 1 : 0)) {
        return;
    }
    count = read(control, line, sizeof line - 1);
    if (count <= 0) {
        close(control);
        control = -1;
        return;
    }
    line[count] = 0;
    if (sscanf(line, "read %u %u", &at, &length) == 2 && at + length <= avr->ramend + 1u) {
        answer(avr->data + at, length);
        return;
    }
    if (sscanf(line, "write %u %u", &at, &byte) == 2 && at <= avr->ramend) {
        avr->data[at] = (unsigned char)byte;
    } else if (strncmp(line, "reset", 5) == 0) {
        avr_reset(avr);
    } else if (strncmp(line, "stop", 4) == 0) {
        *stopped = 1;
    } else if (strncmp(line, "cont", 4) == 0) {
        *stopped = 0;
    } else if (strncmp(line, "quit", 4) == 0) {
        exit(0);
    }
    answer("ok\n", 3);
}

int main(int count, char **arguments)
{
    static elf_firmware_t firmware;
    struct sockaddr_un address;
    avr_cycle_count_t poll_at = 0, byte_at = 0;
    unsigned char bytes[64];
    ssize_t given = 0, held = 0;
    avr_irq_t *input;
    avr_t *avr;
    uint32_t flags = 0;
    int stopped = 0;

    need(count == 4, "IMAGE.elf WIRE CONTROL");
    need(elf_read_firmware(arguments[1], &firmware) == 0, "no image");
    avr = avr_make_mcu_by_name("atmega328p");
    need(avr != NULL, "no such processor");
    avr_init(avr);
    firmware.frequency = CLOCK_HZ;
    avr_load_firmware(avr, &firmware);
    avr->log = LOG_ERROR;

    address = address_of(arguments[2]);
    wire = socket(AF_UNIX, SOCK_STREAM, 0);
    need(connect(wire, (struct sockaddr *)&address, sizeof address) == 0, "no wire");
    address = address_of(arguments[3]);
    listening = socket(AF_UNIX, SOCK_STREAM, 0);
    need(bind(listening, (struct sockaddr *)&address, sizeof address) == 0 && listen(listening, 1) == 0, "no control");

    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_output, NULL);
    input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);

    for (;;) {
        if (!stopped) {
            const int state = avr_run(avr);
            need(state != cpu_Done && state != cpu_Crashed, "the processor stopped");
            if (given < held && avr->cycle >= byte_at) {
                byte_at = avr->cycle + CYCLES_A_BYTE;
                avr_raise_irq(input, bytes[given++]);
            }
        }
        if (stopped || avr->cycle >= poll_at) {
            poll_at = avr->cycle + CYCLES_BETWEEN_POLLS;
            keep_to_the_clock(avr->cycle);
            obey(avr, &stopped);
            memmove(bytes, bytes + given, (size_t)(held - given));
            held -= given;
            given = 0;
            if (held < (ssize_t)sizeof bytes && readable(wire, 0)) {
                const ssize_t more = read(wire, bytes + held, sizeof bytes - (size_t)held);
                if (more <= 0) {
                    exit(0);
                }
                held += more;
            }
        }
    }
}
