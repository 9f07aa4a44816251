/* What the small writers of this folder share. All of it is right: each program is wrong by itself.
 *
 *   PROG DIR NAME_OR_KEYFILE PAYLOAD_BYTES [SEED]
 *
 * saves one entry to DIR. Its text is a built-in sentence followed by NAME; where the argument is
 * @FILE, its text is the content of FILE. Its payload has PAYLOAD_BYTES bytes (at least 1) that
 * depend on SEED alone (default 1). All other fields are constants, so the same arguments make the
 * same file, and the same name for every size and seed. On success a program prints that name and
 * exits with 0; on failure it says so on standard error and exits with 1; 2 is a wrong call.
 */
#ifndef COMMON_H
#define COMMON_H

#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#define _FILE_OFFSET_BITS 64

#include "../kvc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct job {
    const char *dir;
    char name[KVC_NAME_ROOM];
    char final[1024], temp[1024]; /* paths */
    uint8_t *head;                /* everything before the payload: fixed part and text */
    size_t head_bytes;
    uint8_t *payload;
    size_t payload_bytes;
    uint64_t seed;
};

static inline size_t job_text(const char *key, uint8_t *to, size_t room)
{
    static const char before[] = "You are a careful assistant. ";
    size_t n = 0;
    if (key[0] == '@') {
        FILE *in = fopen(key + 1, "rb");
        if (in == NULL) return 0;
        n = fread(to, 1, room, in);
        fclose(in);
    } else if (strlen(key) < room - sizeof before) {
        n = (size_t)snprintf((char *)to, room, "%s%s", before, key);
    }
    return n;
}

static inline void job_payload(struct job *job)
{
    uint64_t state = job->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < job->payload_bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        job->payload[i] = (uint8_t)(state >> 56);
    }
}

/* NULL: a wrong call, already said. */
static inline struct job *job_start(int argc, char **argv)
{
    static struct job job;
    static uint8_t head[KVC_FIXED + 65536];
    size_t bytes = argc > 3 ? (size_t)strtoull(argv[3], NULL, 10) : 0;
    size_t text = argc > 3 ? job_text(argv[2], head + KVC_FIXED, 65536) : 0;
    job.payload = bytes > 0 ? malloc(bytes) : NULL;
    if (text == 0 || job.payload == NULL || strlen(argv[1]) > 900) {
        fprintf(stderr, "usage: %s DIR NAME_OR_KEYFILE PAYLOAD_BYTES [SEED]\n", argv[0]);
        return NULL;
    }
    struct kvc_header header = {.quantisation_bits = 4, .reason = 1, .tokens = 2,
                                .context_tokens = 4096, .text_bytes = (uint32_t)text,
                                .created = 1700000000, .last_used = 1700000000,
                                .payload_bytes = bytes};
    kvc_encode(&header, head);
    struct kvc_sha1 sha;
    uint8_t digest[20];
    kvc_sha1_start(&sha);
    kvc_sha1_add(&sha, head + KVC_FIXED, text);
    kvc_sha1_end(&sha, digest);
    kvc_digest_name(digest, job.name);
    job.dir = argv[1];
    snprintf(job.final, sizeof job.final, "%s/%s", job.dir, job.name);
    job.head = head, job.head_bytes = KVC_FIXED + text;
    job.payload_bytes = bytes;
    job.seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    job_payload(&job);
    return &job;
}

static inline int say_failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static inline int say_saved(const struct job *job)
{
    return puts(job->name) < 0 || fflush(stdout) != 0 ? say_failed("standard output") : 0;
}

/* KVS-SAVE-3 */
static inline bool write_all(int fd, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t got = write(fd, p, n);
        if (got == 0) errno = EIO; /* accepted nothing and named no error */
        if (got <= 0) return false;
        p += got, n -= (size_t)got;
    }
    return true;
}

/* Removes the temp file, then closes it; says what failed first, and what could not be removed. */
static inline int give_up(const struct job *job, int fd, const char *what)
{
    say_failed(what);
    if (unlink(job->temp) != 0 && errno != ENOENT) say_failed(job->temp);
    if (fd >= 0 && close(fd) != 0) say_failed("close");
    return 1;
}

/* Creates and locks a temp file (KVS-TEMP-1 to -3). A recovery that mistakes it for an orphan fails
 * the save here, where a better program takes another name. -1: failed, said, nothing left. */
static inline int open_temp(struct job *job)
{
    char name[KVC_TEMP_ROOM];
    struct stat info;
    if (!kvc_temp_name(name)) return say_failed("getentropy"), -1;
    snprintf(job->temp, sizeof job->temp, "%s/%s", job->dir, name);
    int fd = open(job->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return say_failed("open"), -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &info) != 0 || info.st_nlink == 0)
        return give_up(job, fd, "lock"), -1;
    return fd;
}

/* Learns of deferred errors and keeps the lock (KVS-SAVE-5). */
static inline bool close_duplicate(int fd)
{
    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return duplicate >= 0 && close(duplicate) == 0;
}

/* KVS-SAVE-7 */
static inline bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool synced = kvc_sync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return synced;
}

/* The room is small: one entry. Whatever other entry the directory lists first has to go. When that is
 * done decides between right and wrong (KVS-EVICT-1). */
static inline bool make_room(const struct job *job)
{
    DIR *list = opendir(job->dir);
    if (list == NULL) return false;
    bool made = true;
    const struct dirent *item;
    while ((item = readdir(list)) != NULL)
        if (kvc_is_digest_name(item->d_name) && strcmp(item->d_name, job->name) != 0) {
            made = unlinkat(dirfd(list), item->d_name, 0) == 0;
            break;
        }
    closedir(list);
    return made;
}

#endif
