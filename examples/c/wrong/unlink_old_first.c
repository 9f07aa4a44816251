/* Wrong: the old entry is removed before the new one takes its name. Must get: entry-lost (kill between
 * the two calls; error in the second).
 *
 * A habit from systems where rename does not replace.
 *
 * Breaks KVS-SAVE-2.
 */
#include "common.h"

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->head, job->head_bytes)
        || !write_all(fd, job->payload, job->payload_bytes))
        return give_up(job, fd, "write");
    if (kvc_sync(fd) != 0 || !close_duplicate(fd)) return give_up(job, fd, "fsync");

    unlink(job->final); /* where it is refused, rename replaces the old entry all the same */
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return say_saved(job);
}
