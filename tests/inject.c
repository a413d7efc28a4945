/* Counts the calls that change what lies under one folder, and kills or fails the process at one.
 *
 * Loaded by LD_PRELOAD. `inject(folder, at, mode, log)` arms it: at call number `at` (from 1; 0
 * only counts) the process is killed before the call (mode KILL), killed after half of a write
 * (TORN), or the call and all later ones that need space fail with ENOSPC (FULL). Each call is
 * a line of the file `log`. Without INJECT_UNDER in the environment nothing is armed at the start.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL, TORN, FULL };
static char under[PATH_MAX];
static size_t length;
static long at;
static int mode, logged = -1;
static atomic_long count;

void inject(const char *folder, long number, int how, const char *log) {
    length = 0;
    strncpy(under, folder, sizeof under - 1);
    at = number, mode = how, count = 0;
    if (log && *log)
        logged = syscall(SYS_openat, AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    length = strlen(under);
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("INJECT_UNDER");
    if (folder)
        inject(folder, atol(getenv("INJECT_AT")), atoi(getenv("INJECT_MODE")), getenv("INJECT_LOG"));
}

static int inside(const char *path) { return length && path && !strncmp(path, under, length); }

/* The path of `name` in the open folder `dir`, or of the file `dir` itself where there is none. */
static const char *at_path(int dir, const char *name, char *buffer) {
    if (name && *name == '/')
        return name;
    char link[64];
    ssize_t size;
    if (dir == AT_FDCWD)
        strcpy(link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    size = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    if (size < 0)
        return NULL;
    buffer[size] = 0;
    if (name)
        snprintf(buffer + size, PATH_MAX - size, "/%s", name);
    return buffer;
}

/* 1 if the call that is about to be made is to fail for want of space. */
static int meet(const char *call, const char *path, int needs_space, int fd, const void *data, size_t size) {
    if (!inside(path))
        return 0;
    long number = ++count;
    if (logged >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld %s %s\n", number, call, path + length);
        syscall(SYS_write, logged, line, n);
    }
    if (mode == FULL) {
        if (!at || number < at || !needs_space)
            return 0;
        errno = ENOSPC;
        return 1;
    }
    if (number == at) {
        if (mode == TORN && data)
            syscall(SYS_write, fd, data, size / 2);
        syscall(SYS_kill, getpid(), SIGKILL);
    }
    return 0;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define PATHS char buffer[PATH_MAX]

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); PATHS; va_list rest; va_start(rest, flags); \
        mode_t bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
        if (flags & (O_CREAT | O_TRUNC) && meet(#name, at_path(AT_FDCWD, path, buffer), flags & O_CREAT, -1, NULL, 0)) return -1; \
        return real(path, flags, bits); }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        REAL(name); PATHS; va_list rest; va_start(rest, flags); \
        mode_t bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
        if (flags & (O_CREAT | O_TRUNC) && meet(#name, at_path(dir, path, buffer), flags & O_CREAT, -1, NULL, 0)) return -1; \
        return real(dir, path, flags, bits); }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        REAL(name); PATHS; \
        if (*how != 'r' && meet(#name, at_path(AT_FDCWD, path, buffer), 1, -1, NULL, 0)) return NULL; \
        return real(path, how); }
FOPEN(fopen)
FOPEN(fopen64)

#define ON_PATH(name, space, parameters, arguments, dir, path) \
    int name parameters { REAL(name); PATHS; \
        if (meet(#name, at_path(dir, path, buffer), space, -1, NULL, 0)) return -1; \
        return real arguments; }
ON_PATH(rename, 1, (const char *from, const char *to), (from, to), AT_FDCWD, from)
ON_PATH(renameat, 1, (int d, const char *from, int e, const char *to), (d, from, e, to), d, from)
ON_PATH(renameat2, 1, (int d, const char *from, int e, const char *to, unsigned f), (d, from, e, to, f), d, from)
ON_PATH(unlink, 0, (const char *path), (path), AT_FDCWD, path)
ON_PATH(unlinkat, 0, (int d, const char *path, int f), (d, path, f), d, path)
ON_PATH(rmdir, 0, (const char *path), (path), AT_FDCWD, path)
ON_PATH(remove, 0, (const char *path), (path), AT_FDCWD, path)
ON_PATH(mkdir, 1, (const char *path, mode_t m), (path, m), AT_FDCWD, path)
ON_PATH(mkdirat, 1, (int d, const char *path, mode_t m), (d, path, m), d, path)
ON_PATH(link, 1, (const char *from, const char *to), (from, to), AT_FDCWD, to)
ON_PATH(linkat, 1, (int d, const char *from, int e, const char *to, int f), (d, from, e, to, f), e, to)
ON_PATH(symlink, 1, (const char *from, const char *to), (from, to), AT_FDCWD, to)
ON_PATH(symlinkat, 1, (const char *from, int e, const char *to), (from, e, to), e, to)
ON_PATH(truncate, 0, (const char *path, off_t size), (path, size), AT_FDCWD, path)

#define ON_FILE(name, type, space, parameters, arguments, data, size) \
    type name parameters { REAL(name); PATHS; \
        if (length && fd > 2 && fd != logged && meet(#name, at_path(fd, NULL, buffer), space, fd, data, size)) return -1; \
        return real arguments; }
ON_FILE(write, ssize_t, 1, (int fd, const void *data, size_t size), (fd, data, size), data, size)
ON_FILE(pwrite, ssize_t, 1, (int fd, const void *data, size_t size, off_t o), (fd, data, size, o), data, size)
ON_FILE(pwrite64, ssize_t, 1, (int fd, const void *data, size_t size, off64_t o), (fd, data, size, o), data, size)
ON_FILE(writev, ssize_t, 1, (int fd, const struct iovec *v, int n), (fd, v, n), v->iov_base, v->iov_len)
ON_FILE(ftruncate, int, 0, (int fd, off_t size), (fd, size), NULL, 0)
ON_FILE(ftruncate64, int, 0, (int fd, off64_t size), (fd, size), NULL, 0)
ON_FILE(fsync, int, 1, (int fd), (fd), NULL, 0)
ON_FILE(fdatasync, int, 1, (int fd), (fd), NULL, 0)
ON_FILE(posix_fallocate, int, 1, (int fd, off_t o, off_t size), (fd, o, size), NULL, 0)
