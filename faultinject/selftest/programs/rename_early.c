/* Wrong: the file gets its final name before it has its content. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (rename(job->temp, job->final) != 0) return fail(job, fd, "rename"); /* the mistake */
    if (!write_all(fd, job->data, job->size_bytes)) return fail(job, fd, "write");
    return sync_and_close(job, fd) != 0 ? 1 : sync_dir(job->dir);
}
