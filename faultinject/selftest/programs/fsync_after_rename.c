/* Wrong: everything is synced, and the file only after its rename; until then a name leads to what may be lost. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) return fail(job, fd, "write");
    if (rename(job->temp, job->final) != 0) return fail(job, fd, "rename");
    if (sync_and_close(job, fd) != 0) return 1;
    return sync_dir(job->dir);
}
