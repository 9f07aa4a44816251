/* Wrong: the old file is removed before the new one takes its name, which rename alone would have done. */
#include "save.h"

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    if (write_temp(job) != 0) return 1;
    (void)unlink(job->final); /* the mistake; refused it does no harm, since rename replaces the file anyway */
    return publish(job);
}
