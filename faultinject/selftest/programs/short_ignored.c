/* Wrong: a write that takes only a part is taken for a whole one. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (write(fd, job->data, job->size_bytes) < 0) return fail(job, fd, "write"); /* the mistake */
    return sync_and_close(job, fd) != 0 ? 1 : publish(job);
}
