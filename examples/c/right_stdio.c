/* A right writer that uses stdio: no violation under error, interrupt, kill and power (L3). It takes the
 * arguments of the wrong ones (wrong/common.h); what it does otherwise than they is cited by clause.
 *
 * One thing stdio cannot do: some C libraries retry for ever a write that accepts nothing and names no
 * error, where KVS-SAVE-3 has the save fail. No file system is known that answers so.
 */
#include "wrong/common.h"

static bool write_entry(const struct job *job, FILE *out)
{
    return fwrite(job->head, 1, job->head_bytes, out) == job->head_bytes
           && fwrite(job->payload, 1, job->payload_bytes, out) == job->payload_bytes
           && fflush(out) == 0; /* all bytes are with the system now, and every error is known */
}

/* Before publication: removes the file while its lock is held, then closes (KVS-FAIL-2). fclose may try
 * once more to write what is left in its buffer; that file has no name any more. */
static int fail(const struct job *job, FILE *out, const char *what)
{
    give_up(job, -1, what);
    fclose(out);
    return 1;
}

/* rename was answered with an error: which file has the name? (KVS-FAIL-1) */
static int fail_rename(const struct job *job, FILE *out)
{
    static const char *const said[] = {"not visible", "visible", "perhaps visible"};
    int error = errno;
    enum kvc_visible visible = kvc_leads_to(AT_FDCWD, job->final, fileno(out));
    fprintf(stderr, "the new entry is %s\n", said[visible]);
    errno = error;
    return fail(job, out, "rename"); /* the temp name is ours in any case, or gone */
}

int main(int argc, char **argv)
{
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open_temp(job); /* KVS-TEMP-1 to -3: exclusive, locked, still named */
    if (fd < 0) return 1;
    FILE *out = fdopen(fd, "wb");
    if (out == NULL) return give_up(job, fd, "fdopen");

    if (!write_entry(job, out)) return fail(job, out, "write");
    if (kvc_sync(fd) != 0) return fail(job, out, "fsync");            /* KVS-DURABLE-2 */
    if (!close_duplicate(fd)) return fail(job, out, "close");         /* KVS-SAVE-5 */
    if (rename(job->temp, job->final) != 0) return fail_rename(job, out); /* KVS-SAVE-6 */
    bool synced = sync_dir(job->dir);                                 /* KVS-SAVE-7 */
    if (!synced) {
        say_failed("fsync directory");
        fputs("the new entry is visible\n", stderr);
    }
    bool closed = fclose(out) == 0; /* the lock goes with it (KVS-SAVE-8) */
    if (!closed) {
        say_failed("fclose");
        fputs("the new entry is visible\n", stderr);
    }
    return synced && closed ? say_saved(job) : 1;
}
