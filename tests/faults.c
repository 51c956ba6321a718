/* Preloaded into a process: makes fsync as slow as an SD card's, kills the process at its n-th write, or lets the
   disk be full from there on. A killed write has got half way; a killed fsync has not begun. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long left = -1;
static atomic_long seen;
static atomic_int full; /* instead of a kill: writes fail from the n-th on */

void faults_arm(long step) { atomic_store(&seen, 0); atomic_store(&left, step); atomic_store(&full, 0); }
void faults_fill(long step) { faults_arm(step); atomic_store(&full, 1); }
long faults_seen(void) { return atomic_load(&seen); }

static int due(void) {
    atomic_fetch_add(&seen, 1);
    return atomic_load(&left) >= 0 && atomic_fetch_sub(&left, 1) == 0;
}

static int killed(void) { return due() && !atomic_load(&full); }

static int no_room(void) {
    if (!atomic_load(&full) || atomic_load(&left) >= 0) return 0;
    errno = ENOSPC;
    return 1;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (killed()) { real(fd, data, size / 2); die(); }
    if (no_room()) return -1;
    return real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    if (killed()) { real(fd, data, size / 2, at); die(); }
    if (no_room()) return -1;
    return real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    if (killed()) { real(fd, data, size / 2, at); die(); }
    if (no_room()) return -1;
    return real(fd, data, size, at);
}
static int synced(int fd, int (*real)(int)) {
    const char *slow = getenv("FAULTS_FSYNC_US");
    if (killed()) die();
    if (slow) usleep((useconds_t)atol(slow));
    return real(fd);
}
int fsync(int fd) { REAL(fsync); return synced(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return synced(fd, real); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); if (killed()) die(); return real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); if (killed()) die(); return real(fd, size); }
int unlink(const char *path) { REAL(unlink); if (killed()) die(); return real(path); }
