/* Linked into kvc_tool for tests alone (GNU ld, --wrap): calls that fail, and a file that becomes shorter.
 *
 *   CUT_AT=N          every file ends at byte N by the time it is read, after it was opened and its size asked for
 *   CLOSE_FAILS=NAME  closing a file of that name fails, as it can on NFS; the descriptor is gone all the same
 */
#define _DEFAULT_SOURCE
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t __real_pread(int fd, void *to, size_t n, off_t at);
int __real_close(int fd);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_pread64(int fd, void *to, size_t n, off_t at);
int __wrap_close(int fd);
int __real_fstat(int fd, struct stat *info);
int __wrap_fstat(int fd, struct stat *info);
int __wrap_fstat64(int fd, struct stat *info);

ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at)
{
    const char *end = getenv("CUT_AT");
    off_t cut = end != NULL ? (off_t)atoll(end) : at + (off_t)n;
    if (at + (off_t)n > cut) n = at < cut ? (size_t)(cut - at) : 0;
    return __real_pread(fd, to, n, at);
}

ssize_t __wrap_pread64(int fd, void *to, size_t n, off_t at) { return __wrap_pread(fd, to, n, at); }

int __wrap_fstat(int fd, struct stat *info)
{
    static int calls;
    const char *end = getenv("CUT_AT");
    int result = __real_fstat(fd, info);
    if (result == 0 && end != NULL && calls++ > 0) info->st_size = (off_t)atoll(end);
    return result;
}

int __wrap_fstat64(int fd, struct stat *info) { return __wrap_fstat(fd, info); }

int __wrap_close(int fd)
{
    char link[64], path[4096];
    const char *name = getenv("CLOSE_FAILS");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = name != NULL ? readlink(link, path, sizeof path - 1) : -1;
    int result = __real_close(fd);
    if (n < 0) return result;
    path[n] = '\0';
    if (strstr(path, name) == NULL) return result;
    errno = EIO;
    return -1;
}
