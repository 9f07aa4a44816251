/* Wrong: the entry is written under its final name from the first byte on. Must get: partial-visible
 * (kill), and entry-lost (error) where an entry of the same key was there before.
 *
 * Breaks KVS-SAVE-2 and -6.
 */
#include "common.h"

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open(job->final, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return say_failed("open");
    bool written = write_all(fd, job->head, job->head_bytes)
                   && write_all(fd, job->payload, job->payload_bytes);
    bool synced = written && kvc_sync(fd) == 0;
    if (close(fd) != 0 || !synced) {
        say_failed("write");
        if (unlink(job->final) != 0) say_failed(job->final); /* no half file stays behind: so it seems */
        return 1;
    }
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return say_saved(job);
}
