/* Wrong: the tool map of an entry is replaced where it stands, by cutting the file and writing behind
 * the payload. Must get: partial-visible (kill, error): the old map is gone, the new one not there.
 *
 * The entry of NAME_OR_KEYFILE must exist. The map gets one entry, of 8 bytes times SEED (1 to 1000).
 *
 * Breaks KVS-TOOLMAP-1.
 */
#include "common.h"

static size_t make_map(const struct job *job, uint8_t *map)
{
    size_t block = 8 * (size_t)(job->seed % 1000 + (job->seed % 1000 == 0));
    memcpy(map, "KTM\1", 4);
    kvc_put_u32(map + 4, 1);
    kvc_put_u32(map + 8, 6);
    kvc_put_u32(map + 12, (uint32_t)block);
    memcpy(map + 16, "call_1", 6);
    memset(map + 22, 'a' + (int)(job->seed % 26), block);
    return 22 + block;
}

static bool replace(int fd, const uint8_t *map, size_t n)
{
    uint8_t fixed[KVC_FIXED];
    struct kvc_header header;
    if (pread(fd, fixed, KVC_FIXED, 0) != KVC_FIXED) return false;
    kvc_decode(fixed, &header);
    off_t sections = (off_t)(KVC_FIXED + header.text_bytes + header.payload_bytes);
    uint8_t flags = (uint8_t)(header.flags | KVC_TOOL_MAP);
    return ftruncate(fd, sections) == 0 && lseek(fd, sections, SEEK_SET) == sections
           && write_all(fd, map, n) && pwrite(fd, &flags, 1, 6) == 1 && kvc_sync(fd) == 0;
}

int main(int argc, char **argv)
{
    static uint8_t map[22 + 8 * 1000];
    struct job *job = job_start(argc, argv);
    if (job == NULL) return 2;

    int fd = open(job->final, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return say_failed("open");
    bool replaced = flock(fd, LOCK_EX) == 0 && replace(fd, map, make_map(job, map));
    if (!replaced) say_failed("replace the tool map");
    if (close(fd) != 0) return say_failed("close");
    return replaced ? say_saved(job) : 1;
}
