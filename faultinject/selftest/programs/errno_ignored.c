/* Wrong: an error of write ends the loop, and the save goes on as if all had been written. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) perror("write"); /* the mistake: said, and not acted upon */
    return sync_and_close(job, fd) != 0 ? 1 : publish(job);
}
