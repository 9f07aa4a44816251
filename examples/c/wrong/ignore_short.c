/* Wrong: a write that accepts fewer bytes than offered passes for a complete one. Must get:
 * false-success and partial-visible (error: a short write).
 *
 * Breaks KVS-SAVE-3.
 */
#include "common.h"

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (write(fd, job->head, job->head_bytes) < 0 || write(fd, job->payload, job->payload_bytes) < 0)
        return give_up(job, fd, "write");
    if (kvc_sync(fd) != 0 || !close_duplicate(fd)) return give_up(job, fd, "fsync");
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return say_saved(job);
}
