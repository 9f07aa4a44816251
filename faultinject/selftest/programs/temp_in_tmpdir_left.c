/* Wrong: a staged file in $TMPDIR is removed when the save succeeds and left when it fails. */
#include "save.h"

static bool stage(const struct job *job, int fd)
{
    return write_all(fd, job->data, job->size_bytes) && lseek(fd, 0, SEEK_SET) == 0;
}

static bool copy(int from, int to, size_t size_bytes)
{
    unsigned char buffer[65536];
    while (size_bytes > 0) {
        ssize_t count = read(from, buffer, size_bytes < sizeof buffer ? size_bytes : sizeof buffer);
        if (count == 0) errno = EIO;
        if (count <= 0 || !write_all(to, buffer, (size_t)count)) return false;
        size_bytes -= (size_t)count;
    }
    return true;
}

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    const char *directory = getenv("TMPDIR");
    char staged[PATH_MAX];
    if (directory == NULL || !join(staged, directory, "data.bin.staged")) {
        return fputs("TMPDIR must name a directory for the staged file\n", stderr), 2;
    }
    int from = open(staged, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (from < 0) return perror(staged), 1;
    if (!stage(job, from)) return perror(staged), 1; /* the mistake: here and below the staged file is left */
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!copy(from, fd, job->size_bytes)) return fail(job, fd, "copy");
    if (sync_and_close(job, fd) != 0 || publish(job) != 0) return 1;
    if (close(from) != 0) return perror(staged), 1;
    if (unlink(staged) != 0) return perror(staged), 1;
    return 0;
}
