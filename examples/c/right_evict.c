/* A right writer that makes room: no violation under error, kill and power (L3). It removes what
 * wrong/evict_first removes, after the save has succeeded. It takes the arguments of the wrong ones
 * (wrong/common.h).
 */
#include "wrong/common.h"

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
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    if (!make_room(job)) say_failed("evict"); /* reported, and no failure of the save (KVS-EVICT-1) */
    return say_saved(job);
}
