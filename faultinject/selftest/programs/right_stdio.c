/* Right: buffered output whose every result is looked at, a sync, one rename. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    FILE *out = fopen(job->temp, "wb");
    if (out == NULL) {
        perror(job->temp);
        return 1;
    }
    bool written = fwrite(job->data, 1, job->size_bytes, out) == job->size_bytes && fflush(out) == 0;
    bool synced = written && fsync(fileno(out)) == 0;
    if (!synced) perror(written ? "fsync" : "write");
    if (fclose(out) != 0) return fail(job, -1, "fclose");
    if (!synced) return fail(job, -1, "save");
    return publish(job);
}
