/* Wrong: the file is renamed when header and text are in it, and the payload follows under the final
 * name. Must get: partial-visible (kill, error).
 *
 * The thought behind it: other programs can see at once that the entry is on its way.
 *
 * Breaks KVS-SAVE-4.
 */
#include "common.h"

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->head, job->head_bytes)) return give_up(job, fd, "write");
    if (rename(job->temp, job->final) != 0) return give_up(job, fd, "rename");

    bool written = write_all(fd, job->payload, job->payload_bytes);
    if (!written || kvc_sync(fd) != 0 || !close_duplicate(fd)) {
        say_failed("write");
        close(fd);
        return 1;
    }
    if (close(fd) != 0) return say_failed("close");
    if (!sync_dir(job->dir)) return say_failed("fsync directory");
    return say_saved(job);
}
