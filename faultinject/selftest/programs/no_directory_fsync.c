/* Wrong: success is reported while the rename may still be lost. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    if (write_temp(job) != 0) return 1;
    if (rename(job->temp, job->final) != 0) return fail(job, -1, "rename");
    return 0;
}
