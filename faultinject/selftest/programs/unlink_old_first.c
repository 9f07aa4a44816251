/* Wrong: the old file is removed before the new one takes its name, which rename alone would have done. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    if (write_temp(job) != 0) return 1;
    if (unlink(job->final) != 0 && errno != ENOENT) return fail(job, -1, "unlink"); /* the mistake */
    return publish(job);
}
