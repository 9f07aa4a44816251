/* Wrong: a save that failed, and cleaned up as it should, is reported as a success. Must get:
 * false-success (error).
 *
 * The thought behind it: it is only a cache, and a missing entry is no reason to stop.
 *
 * Breaks KVS-FAIL-1.
 */
#include "common.h"

static int save(struct job *job)
{
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->head, job->head_bytes)
        || !write_all(fd, job->payload, job->payload_bytes))
        return give_up(job, fd, "write");
    if (kvc_sync(fd) != 0 || !close_duplicate(fd)) return give_up(job, fd, "fsync");
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    return sync_dir(job->dir) ? 0 : say_failed("fsync directory");
}

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;
    save(job);
    say_saved(job);
    return 0;
}
