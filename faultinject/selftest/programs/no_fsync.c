/* Wrong: the temp file is never synced, so that the rename can reach the disk before what it publishes. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) return fail(job, fd, "write");
    if (close(fd) != 0) return fail(job, -1, "close");
    return publish(job);
}
