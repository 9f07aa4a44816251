/* Wrong: a save that fails returns at once and leaves its temp file. Must get: temp-leaked (error).
 *
 * A recovery finds the file later; but the program was alive and had no excuse (KVS-FAIL-2).
 *
 * Breaks KVS-FAIL-2.
 */
#include "common.h"

static int save(struct job *job)
{
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->head, job->head_bytes)) return say_failed("write header");
    if (!write_all(fd, job->payload, job->payload_bytes)) return say_failed("write payload");
    if (kvc_sync(fd) != 0) return say_failed("fsync");
    if (!close_duplicate(fd)) return say_failed("close");
    if (rename(job->temp, job->final) != 0) return say_failed("rename");
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return 0;
}

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;
    return save(job) != 0 ? 1 : say_saved(job);
}
