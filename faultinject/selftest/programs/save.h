/* What these programs share. All of it is right: a wrong program is wrong by what it does itself.
 *
 *   PROGRAM DIR SIZE_BYTES SEED
 *
 * saves DIR/data.bin, SIZE_BYTES bytes that depend on SEED alone. Exit status 0: saved; 1: failed; 2: wrong call.
 * The temp file has one fixed name, so that the next run overwrites what a killed one has left. That is
 * right for one writer at a time, and nothing else is promised here.
 */
#ifndef SAVE_H
#define SAVE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE_BYTES_MAX ((unsigned long long)1 << 30)

struct job {
    const char *dir;
    char final[PATH_MAX], temp[PATH_MAX];
    unsigned char *data;
    size_t size_bytes;
};

static inline bool parse_number(const char *text, unsigned long long max, unsigned long long *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value <= max;
}

static inline bool join(char to[PATH_MAX], const char *dir, const char *name)
{
    int length = snprintf(to, PATH_MAX, "%s/%s", dir, name);
    return length >= 0 && length < PATH_MAX;
}

/* The job that the arguments ask for; a wrong call ends here. */
static inline struct job *start(int argc, char **argv)
{
    static struct job job;
    unsigned long long size_bytes = 0, seed = 0;
    if (argc != 4 || !parse_number(argv[2], SIZE_BYTES_MAX, &size_bytes) || size_bytes == 0
        || !parse_number(argv[3], ULLONG_MAX, &seed)
        || !join(job.final, argv[1], "data.bin") || !join(job.temp, argv[1], "data.bin.tmp")) {
        fprintf(stderr, "usage: %s DIR SIZE_BYTES SEED\n", argv[0]);
        exit(2);
    }
    job.dir = argv[1];
    job.size_bytes = (size_t)size_bytes;
    job.data = malloc(job.size_bytes);
    if (job.data == NULL) {
        perror("malloc");
        exit(1);
    }
    uint64_t state = seed;
    for (size_t i = 0; i < job.size_bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        job.data[i] = (unsigned char)(state >> 56);
    }
    return &job;
}

static inline bool write_all(int fd, const unsigned char *data, size_t size_bytes)
{
    while (size_bytes > 0) {
        ssize_t count = write(fd, data, size_bytes);
        if (count == 0) errno = EIO; /* nothing accepted, nothing said: asking again could go on for ever */
        if (count <= 0) return false;
        data += count;
        size_bytes -= (size_t)count;
    }
    return true;
}

/* Says what failed, closes `fd` unless it is -1, and removes the temp file. */
static inline int fail(const struct job *job, int fd, const char *what)
{
    perror(what);
    if (fd >= 0) close(fd);
    if (unlink(job->temp) != 0 && errno != ENOENT) perror(job->temp);
    return 1;
}

static inline int open_temp(const struct job *job)
{
    int fd = open(job->temp, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) perror(job->temp);
    return fd;
}

/* Whatever was written to `fd` is on the disk, and the descriptor is closed. 0, or 1 with the temp file removed. */
static inline int sync_and_close(const struct job *job, int fd)
{
    if (fsync(fd) != 0) return fail(job, fd, "fsync");
    if (close(fd) != 0) return fail(job, -1, "close");
    return 0;
}

/* The complete temp file. 0, or 1 with nothing left. */
static inline int write_temp(const struct job *job)
{
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) return fail(job, fd, "write");
    return sync_and_close(job, fd);
}

static inline int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (!synced) perror(dir); /* the new content is visible, though nobody may rely on it yet */
    if (fd >= 0 && close(fd) != 0) {
        perror("close");
        return 1;
    }
    return synced ? 0 : 1;
}

static inline int publish(const struct job *job)
{
    if (rename(job->temp, job->final) != 0) return fail(job, -1, "rename");
    return sync_dir(job->dir);
}

#endif
