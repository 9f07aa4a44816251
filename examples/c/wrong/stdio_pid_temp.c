/* Wrong: the temp file is called FINAL.tmp.PID and nobody ever looks for one, so a killed program
 * leaves it for good. Must get: orphan-unreclaimed (kill). Under power also lost-after-ack and
 * partial-visible, for want of any fsync.
 *
 * An errno or a short write does it no harm: that part is as it should be.
 *
 * Breaks KVS-TEMP-1 and KVS-DURABLE-2.
 */
#include "common.h"

static bool write_entry(const struct job *job, FILE *out)
{
    return fwrite(job->head, 1, job->head_bytes, out) == job->head_bytes
           && fwrite(job->payload, 1, job->payload_bytes, out) == job->payload_bytes
           && fflush(out) == 0;
}

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;
    snprintf(job->temp, sizeof job->temp, "%s/%.43s.tmp.%ld", job->dir, job->name, (long)getpid());

    FILE *out = fopen(job->temp, "wb");
    if (out == NULL) return say_failed("fopen");
    bool written = write_entry(job, out);
    if (fclose(out) != 0 || !written) return give_up(job, -1, "write");
    if (rename(job->temp, job->final) != 0) return give_up(job, -1, "rename");
    return say_saved(job);
}
