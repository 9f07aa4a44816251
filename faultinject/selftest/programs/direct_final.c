/* Wrong: the final name is written itself. Its old content is gone with the first call, and whoever looks meanwhile
 * finds half of the new one. A failure removes the half file, and has nothing to put in its place. */
#include "save.h"

int main(int argc, char **argv)
{
    struct job *job = start(argc, argv);
    strcpy(job->temp, job->final); /* the mistake */
    return write_temp(job) != 0 ? 1 : sync_dir(job->dir);
}
