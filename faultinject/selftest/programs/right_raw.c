/* Right: a temp file with a random name that is this writer's own and locked, and a recovery that takes
 * the unlocked ones away:
 *
 *   PROGRAM --recover DIR
 */
#include "save.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define PREFIX "data.bin.tmp-"
#define PIECE_BYTES 64 /* small, so that even a small file takes several writes */

/* Whether the lock on the file is ours and `path` still leads to the file. */
static bool own(int fd, const char *path)
{
    struct stat held, named;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && lstat(path, &named) == 0
           && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static int recover(const char *dir)
{
    DIR *listing = opendir(dir);
    if (listing == NULL) return perror(dir), 1;
    int status = 0;
    char path[PATH_MAX];
    for (struct dirent *entry; (errno = 0, entry = readdir(listing)) != NULL;) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 || !join(path, dir, entry->d_name)) continue;
        int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || (own(fd, path) && unlink(path) != 0)) status = 1, perror(path);
        if (fd >= 0) close(fd);
    }
    if (errno != 0) status = 1, perror(dir);
    closedir(listing);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--recover") == 0) return recover(argv[2]);
    struct job *job = start(argc, argv);
    int fd = -1;
    for (int attempt = 0; fd < 0 && attempt < 16; attempt++) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) return perror("getrandom"), 1;
        char name[64];
        snprintf(name, sizeof name, PREFIX "%016llx", (unsigned long long)random);
        if (!join(job->temp, job->dir, name)) return fputs("the path is too long\n", stderr), 2;
        fd = open(job->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST) break;
    }
    if (fd < 0) return perror(job->temp), 1;
    if (!own(fd, job->temp)) return fail(job, fd, "lock");
    for (size_t at = 0; at < job->size_bytes; at += PIECE_BYTES) {
        size_t rest = job->size_bytes - at;
        if (!write_all(fd, job->data + at, rest < PIECE_BYTES ? rest : PIECE_BYTES)) return fail(job, fd, "write");
    }
    if (fsync(fd) != 0) return fail(job, fd, "fsync");
    if (rename(job->temp, job->final) != 0) return fail(job, fd, "rename");
    if (close(fd) != 0) return perror("close"), 1; /* closed only now: the lock goes with it */
    return sync_dir(job->dir);
}
