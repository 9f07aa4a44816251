/* Wrong: a handler for SIGTERM and SIGINT that ends the program on the spot, whatever lies around. */
#include "save.h"

#include <signal.h>

static void on_signal(int number)
{
    (void)number;
    _exit(1); /* the mistake */
}

int main(int argc, char **argv)
{
    if (signal(SIGTERM, on_signal) == SIG_ERR || signal(SIGINT, on_signal) == SIG_ERR) return perror("signal"), 1;
    const struct job *job = start(argc, argv);
    return write_temp(job) != 0 ? 1 : publish(job);
}
