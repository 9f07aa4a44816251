/* Wrong: another entry is removed to make room before the new one is written. Must get: entry-lost
 * (error, kill), in a directory that holds an entry of another key.
 *
 * Breaks KVS-SAVE-2 and KVS-EVICT-1.
 */
#include "common.h"

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;
    if (!make_room(job)) return say_failed("evict");

    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->head, job->head_bytes)
        || !write_all(fd, job->payload, job->payload_bytes))
        return give_up(job, fd, "write");
    if (kvc_sync(fd) != 0 || !close_duplicate(fd)) return give_up(job, fd, "fsync");
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return say_saved(job);
}
