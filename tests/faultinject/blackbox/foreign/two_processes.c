/* Two processes save DIR/data.bin together, and do it right: a child writes and syncs the temp file, and its parent
 * publishes it when the child has said by its exit status that all is well.
 *
 *   two_processes DIR SIZE_BYTES SEED       exit status 0: saved; 1: failed; 2: wrong call
 */
#include "save.h"

#include <sys/wait.h>

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return status;
}

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    pid_t child = fork();
    if (child < 0) return perror("fork"), 1;
    if (child == 0) _exit(write_temp(job));
    int status = wait_for(child);
    if (status == -1) return fail(job, -1, "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        errno = ECHILD;
        return fail(job, -1, "the writing process");
    }
    return publish(job);
}
