/* Wrong: the result of fclose is ignored, and with it the errors of the writes that only happen there.
 * Must get: false-success (error: a full disk in the last write), and with it partial-visible.
 *
 * The buffer is large to save calls; a small entry is written by fclose alone.
 *
 * Breaks KVS-SAVE-5.
 */
#include "common.h"

int main(int argc, char **argv)
{
    static char buffer[1 << 20];
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open_temp(job);
    if (fd < 0) return 1;
    FILE *out = fdopen(fd, "wb");
    if (out == NULL) return give_up(job, fd, "fdopen");
    setvbuf(out, buffer, _IOFBF, sizeof buffer);
    if (fwrite(job->head, 1, job->head_bytes, out) != job->head_bytes
        || fwrite(job->payload, 1, job->payload_bytes, out) != job->payload_bytes) {
        give_up(job, -1, "write");
        fclose(out);
        return 1;
    }
    fclose(out);
    if (rename(job->temp, job->final) != 0) return give_up(job, -1, "rename");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return say_saved(job);
}
