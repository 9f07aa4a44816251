/* Saves settings so that neither an error, nor a kill, nor a loss of power takes the old ones: settings FILE */
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char temp[4096];

    if (argc != 2 || snprintf(temp, sizeof temp, "%s.tmp", argv[1]) >= (int)sizeof temp)
        return 2;
    FILE *file = fopen(temp, "w");
    if (file == NULL)
        return 1;
    int failed = fprintf(file, "theme = dark\nsize = 12\n") < 0;
    failed |= fflush(file) != 0 || fsync(fileno(file)) != 0;
    failed |= fclose(file) != 0;
    failed = failed || rename(temp, argv[1]) != 0;
    if (failed) {
        unlink(temp);
        return 1;
    }
    int directory = open(dirname(argv[1]), O_RDONLY);
    return directory < 0 || fsync(directory) != 0;
}
