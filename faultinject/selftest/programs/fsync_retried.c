/* Wrong: a failed sync is tried again. The second one succeeds, without the pages that the first one has given up. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) return fail(job, fd, "write");
    for (int tries = 0; fsync(fd) != 0; tries++)
        if (tries == 3) return fail(job, fd, "fsync");
    if (close(fd) != 0) return fail(job, -1, "close");
    return publish(job);
}
