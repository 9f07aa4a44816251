/* Right: three threads write a slice each, and only when all have succeeded is the file published. */
#include "save.h"

#include <pthread.h>

#define THREADS 3

struct slice {
    pthread_t thread;
    const struct job *job;
    int fd;
    size_t start, end;
    int error;
};

static void *write_slice(void *argument)
{
    struct slice *slice = argument;
    size_t at = slice->start;
    while (at < slice->end && slice->error == 0) {
        ssize_t count = pwrite(slice->fd, slice->job->data + at, slice->end - at, (off_t)at);
        if (count > 0) at += (size_t)count;
        else slice->error = count == 0 ? EIO : errno;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;

    struct slice slices[THREADS];
    int started = 0, error = 0;
    for (; started < THREADS && error == 0; started += error == 0) {
        size_t start = job->size_bytes * (size_t)started / THREADS, end = job->size_bytes * ((size_t)started + 1) / THREADS;
        slices[started] = (struct slice){.job = job, .fd = fd, .start = start, .end = end};
        error = pthread_create(&slices[started].thread, NULL, write_slice, &slices[started]);
    }
    while (started-- > 0) {
        int joined = pthread_join(slices[started].thread, NULL);
        if (error == 0) error = joined != 0 ? joined : slices[started].error;
    }
    errno = error;
    if (error != 0) return fail(job, fd, "write in a thread");
    return sync_and_close(job, fd) != 0 ? 1 : publish(job);
}
