/* Wrong: the result of fclose is ignored, and with it every error of the bytes that were still in the buffer. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    FILE *out = fopen(job->temp, "wb");
    if (out == NULL) return perror(job->temp), 1;
    if (fwrite(job->data, 1, job->size_bytes, out) != job->size_bytes) {
        fclose(out);
        return fail(job, -1, "fwrite");
    }
    fclose(out); /* the mistake */
    return publish(job);
}
