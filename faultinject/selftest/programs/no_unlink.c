/* Wrong: a save that fails leaves its temp file. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) return perror("write"), 1; /* the mistake: here and below */
    if (fsync(fd) != 0) return perror("fsync"), 1;
    if (close(fd) != 0) return perror("close"), 1;
    if (rename(job->temp, job->final) != 0) return perror("rename"), 1;
    return sync_dir(job->dir);
}
