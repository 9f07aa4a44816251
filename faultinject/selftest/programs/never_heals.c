/* Wrong: the temp file is the lock as well. After a kill it lies there, and every later run takes it for the lock of
 * a living writer and gives up, for ever. */
#include "save.h"

int main(int argc, char **argv)
{
    struct job *job = start(argc, argv);
    if (!join(job->temp, job->dir, "lock")) return fputs("the path is too long\n", stderr), 2;
    int fd = open(job->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* the mistake */
    if (fd < 0) return perror(job->temp), 1;
    if (!write_all(fd, job->data, job->size_bytes)) return fail(job, fd, "write");
    return sync_and_close(job, fd) != 0 ? 1 : publish(job);
}
