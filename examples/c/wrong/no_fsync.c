/* Wrong: nothing is synced, neither file nor directory. Must get: partial-visible and lost-after-ack,
 * both under power alone; under error and kill it is right (L2).
 *
 * The thought behind it: rename is atomic.
 *
 * Breaks KVS-SAVE-7 and KVS-DURABLE-2.
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
    if (!close_duplicate(fd)) return give_up(job, fd, "close");
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    return say_saved(job);
}
