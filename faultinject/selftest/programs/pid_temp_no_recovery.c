/* Wrong: the name of the temp file has the process id in it, so no later run uses the name again, and nothing looks for
 * what a killed one has left. */
#include "save.h"

int main(int argc, char **argv)
{
    struct job *job = start(argc, argv);
    char name[64];
    snprintf(name, sizeof name, "data.bin.tmp.%ld", (long)getpid()); /* the mistake */
    if (!join(job->temp, job->dir, name)) return fputs("the path is too long\n", stderr), 2;
    return write_temp(job) != 0 ? 1 : publish(job);
}
