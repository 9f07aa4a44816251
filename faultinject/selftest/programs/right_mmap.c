/* Right: the content is stored through a mapping. Stores are no system calls: an audit that watches calls cannot
 * stop between two of them, and must say so. (A full disk ends this program with SIGBUS at a store. That is a
 * kill like any other: it leaves a temp file, and the next run overwrites it.) */
#include "save.h"

#include <sys/mman.h>

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (ftruncate(fd, (off_t)job->size_bytes) != 0) return fail(job, fd, "ftruncate");
    void *mapped = mmap(NULL, job->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) return fail(job, fd, "mmap");
    memcpy(mapped, job->data, job->size_bytes);
    if (msync(mapped, job->size_bytes, MS_SYNC) != 0) return fail(job, fd, "msync");
    if (munmap(mapped, job->size_bytes) != 0) return fail(job, fd, "munmap");
    return sync_and_close(job, fd) != 0 ? 1 : publish(job);
}
