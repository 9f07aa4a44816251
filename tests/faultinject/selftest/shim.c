/* Preloaded into a program, it spoils one call on the files of a directory, and says so on standard error.
 *
 *   SHIM_DIRS=/a:/b    calls on paths below these count, and on descriptors opened there
 *   SHIM_AT=N          the N-th of them, from 0
 *   SHIM_DO=WHAT       an errno: the call is refused. kill, kill-half: SIGKILL before it, or after half of a write.
 *                      short: half of a write is accepted. cut: that, and the next write fails with ENOSPC.
 *                      A number with SIG before it: that signal, before the call.
 *
 * It reaches only what a program calls itself: not what stdio does within the C library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FD_MAX 1024
#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static bool watched[FD_MAX];
static int calls;
static bool cut;

static bool inside(const char *path)
{
    const char *dirs = getenv("SHIM_DIRS");
    while (dirs != NULL && *dirs != '\0') {
        size_t length = strcspn(dirs, ":");
        if (strncmp(path, dirs, length) == 0 && (path[length] == '/' || path[length] == '\0')) return true;
        dirs += length + (dirs[length] == ':');
    }
    return false;
}

static bool known(int fd)
{
    return fd >= 0 && fd < FD_MAX && watched[fd];
}

static const char *due(void)
{
    const char *at = getenv("SHIM_AT");
    if (at == NULL || __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST) != atoi(at)) return NULL;
    dprintf(2, "shim fired\n");
    return getenv("SHIM_DO");
}

/* Whether the call is refused, with errno set. */
static bool spoilt(const char *what)
{
    if (what == NULL) return false;
    if (strncmp(what, "kill", 4) == 0) raise(SIGKILL);
    if (strncmp(what, "SIG", 3) == 0) return raise(atoi(what + 3)), false;
    return (errno = atoi(what)) != 0;
}

static int open_real(const char *name, const char *path, int flags, mode_t mode)
{
    bool ours = inside(path);
    if (ours && spoilt(due())) return -1;
    int fd = REAL(int, name, const char *, int, mode_t)(path, flags, mode);
    if (fd >= 0 && fd < FD_MAX) watched[fd] = ours;
    return fd;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;                               \
        va_end(rest);                                                                                                  \
        return open_real(#name, path, flags, mode);                                                                    \
    }
OPEN(open)
OPEN(open64)

/* How many of `count` bytes go through; -1 where the call is refused. */
static ssize_t accepted(int fd, size_t count, bool *dies)
{
    if (!known(fd)) return (ssize_t)count;
    if (cut) return cut = false, errno = ENOSPC, -1;
    const char *what = due();
    *dies = what != NULL && strcmp(what, "kill-half") == 0;
    cut = what != NULL && strcmp(what, "cut") == 0;
    if (*dies || cut || (what != NULL && strcmp(what, "short") == 0)) return (ssize_t)(count / 2);
    return spoilt(what) ? -1 : (ssize_t)count;
}

static ssize_t ended(ssize_t result, bool dies)
{
    if (dies) raise(SIGKILL);
    return result;
}

ssize_t write(int fd, const void *data, size_t count)
{
    bool dies = false;
    ssize_t some = accepted(fd, count, &dies);
    if (some < 0) return -1;
    return ended(REAL(ssize_t, "write", int, const void *, size_t)(fd, data, (size_t)some), dies);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset)
{
    bool dies = false;
    ssize_t some = accepted(fd, count, &dies);
    if (some < 0) return -1;
    return ended(REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, data, (size_t)some, offset), dies);
}

#define ON_FD(name, parameters, types, ...)                                                                            \
    int name parameters                                                                                                \
    {                                                                                                                  \
        if (known(fd) && spoilt(due())) return -1;                                                                     \
        return ((int(*) types)dlsym(RTLD_NEXT, #name))(__VA_ARGS__);                                                   \
    }
ON_FD(fsync, (int fd), (int), fd)
ON_FD(ftruncate, (int fd, off_t size), (int, off_t), fd, size)
ON_FD(flock, (int fd, int operation), (int, int), fd, operation)

/* A close that fails has closed all the same. */
int close(int fd)
{
    bool refused = known(fd) && spoilt(due());
    int error = errno;
    if (fd >= 0 && fd < FD_MAX) watched[fd] = false;
    int result = REAL(int, "close", int)(fd);
    if (refused) errno = error;
    return refused ? -1 : result;
}

int rename(const char *from, const char *to)
{
    if (inside(to) && spoilt(due())) return -1;
    return REAL(int, "rename", const char *, const char *)(from, to);
}

int unlink(const char *path)
{
    if (inside(path) && spoilt(due())) return -1;
    return REAL(int, "unlink", const char *)(path);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (inside(to) && spoilt(due())) return -1;
    return REAL(int, "linkat", int, const char *, int, const char *, int)(from_dir, from, to_dir, to, flags);
}
