/* Right: the file has no name until it is complete. linkat cannot replace a file and rename can: hence
 * one name in between, which the next run takes over from a killed one. */
#include "save.h"

static bool link_temp(const struct job *job, int fd)
{
    char source[64];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    for (int attempt = 0; attempt < 2; attempt++) {
        if (linkat(AT_FDCWD, source, AT_FDCWD, job->temp, AT_SYMLINK_FOLLOW) == 0) return true;
        if (errno != EEXIST || (unlink(job->temp) != 0 && errno != ENOENT)) return false;
        errno = EEXIST;
    }
    return false;
}

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open(job->dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return perror("open(O_TMPFILE)"), 1;
    if (!write_all(fd, job->data, job->size_bytes)) return perror("write"), 1;
    if (fsync(fd) != 0) return perror("fsync"), 1;
    if (!link_temp(job, fd)) return perror("linkat"), 1;
    if (close(fd) != 0) return fail(job, -1, "close");
    return publish(job);
}
