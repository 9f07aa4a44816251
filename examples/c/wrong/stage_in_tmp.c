/* Wrong: the payload is staged in another directory, where no recovery looks, and left there when the
 * save fails. Must get: temp-leaked (error) and orphan-unreclaimed (kill), both in the other directory.
 *
 * One argument more than the others: PROG DIR NAME_OR_KEYFILE PAYLOAD_BYTES [SEED [STAGE_DIR]]. Without
 * it the payload is staged in $TMPDIR or /tmp.
 *
 * Breaks KVS-TEMP-1 and KVS-STAGED-3.
 */
#include "common.h"

static bool copy(int from, int to)
{
    uint8_t buffer[4096];
    ssize_t got;
    if (lseek(from, 0, SEEK_SET) != 0) return false;
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        if (!write_all(to, buffer, (size_t)got)) return false;
    return got == 0;
}

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;
    const char *stage_dir = argc > 5 ? argv[5] : getenv("TMPDIR");
    char stage[1024];
    snprintf(stage, sizeof stage, "%s/kvc-payload-XXXXXX", stage_dir != NULL ? stage_dir : "/tmp");

    int payload = mkstemp(stage);
    if (payload < 0) return say_failed("mkstemp");
    if (!write_all(payload, job->payload, job->payload_bytes)) return say_failed("write stage");

    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->head, job->head_bytes) || !copy(payload, fd))
        return give_up(job, fd, "write");
    if (kvc_sync(fd) != 0 || !close_duplicate(fd)) return give_up(job, fd, "fsync");
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");

    close(payload);
    if (unlink(stage) != 0) return say_failed(stage);
    return say_saved(job);
}
