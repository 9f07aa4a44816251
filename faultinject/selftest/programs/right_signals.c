/* Right: SIGTERM and SIGINT are noted and looked at between two steps, where nothing is half done. Before the
 * rename they make the save fail with nothing left; after it, it has succeeded. */
#include "save.h"

#include <signal.h>

#define PIECE_BYTES 64

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = number;
}

static int give_up(const struct job *job, int fd)
{
    errno = EINTR;
    return fail(job, fd, "stopped by a signal");
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0) {
        perror("sigaction");
        return 1;
    }
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    for (size_t at = 0; at < job->size_bytes; at += PIECE_BYTES) {
        if (stopped) return give_up(job, fd);
        size_t rest = job->size_bytes - at;
        if (!write_all(fd, job->data + at, rest < PIECE_BYTES ? rest : PIECE_BYTES)) return fail(job, fd, "write");
    }
    if (sync_and_close(job, fd) != 0) return 1;
    if (stopped) return give_up(job, -1);
    return publish(job);
}
