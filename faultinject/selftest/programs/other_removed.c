/* Wrong: when a write fails, the other files of the directory are removed to make room for the next attempt. */
#include "save.h"

#include <dirent.h>

static void make_room(const char *dir)
{
    DIR *listing = opendir(dir);
    if (listing == NULL) {
        perror(dir);
        return;
    }
    char path[PATH_MAX];
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        bool own = strncmp(entry->d_name, "data.bin", 8) == 0;
        bool directory = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!own && !directory && join(path, dir, entry->d_name) && unlink(path) != 0) perror(path); /* the mistake */
    }
    closedir(listing);
}

int main(int argc, char **argv)
{
    const struct job *job = start(argc, argv);
    int fd = open_temp(job);
    if (fd < 0) return 1;
    if (!write_all(fd, job->data, job->size_bytes)) {
        int status = fail(job, fd, "write");
        make_room(job->dir);
        return status;
    }
    return sync_and_close(job, fd) != 0 ? 1 : publish(job);
}
