/* Preloaded into a process: makes fsync as slow as an SD card's, or kills the process at its n-th write.
   A killed write has got half way; a killed fsync has not begun. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long left = -1;
static atomic_long seen;

void faults_arm(long step) { atomic_store(&seen, 0); atomic_store(&left, step); }
long faults_seen(void) { return atomic_load(&seen); }

static int due(void) {
    atomic_fetch_add(&seen, 1);
    return atomic_load(&left) >= 0 && atomic_fetch_sub(&left, 1) == 0;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (due()) { real(fd, data, size / 2); die(); }
    return real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    if (due()) { real(fd, data, size / 2, at); die(); }
    return real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    if (due()) { real(fd, data, size / 2, at); die(); }
    return real(fd, data, size, at);
}
static int synced(int fd, int (*real)(int)) {
    const char *slow = getenv("FAULTS_FSYNC_US");
    if (due()) die();
    if (slow) usleep((useconds_t)atol(slow));
    return real(fd);
}
int fsync(int fd) { REAL(fsync); return synced(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return synced(fd, real); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); if (due()) die(); return real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); if (due()) die(); return real(fd, size); }
int unlink(const char *path) { REAL(unlink); if (due()) die(); return real(path); }
