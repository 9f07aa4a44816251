/* Tests of what kvc_save refuses that no file of a test can be large enough for (KVC-FILE-4). Exit status 0: as due. */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "kvc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int asked;

static ssize_t never_asked(void *source, void *to, size_t room)
{
    (void)source, (void)to, (void)room;
    asked++;
    return -1; /* reached only where the lengths were accepted */
}

/* Whether a payload of that size, behind a text of 2 bytes, is refused for the sum of the lengths. */
static bool refused(int directory, uint64_t payload_bytes, bool title, bool map)
{
    static const struct kvc_tool tool = {{"id", 2}, {"block", 5}};
    struct kvc_report report;
    struct kvc_entry entry = {.profile = KVC_ABI0, .quantisation_bits = 4, .tokens = 1, .text = {"Hi", 2},
                              .text_limit = KVC_TEXT_LIMIT, .payload_bytes = payload_bytes,
                              .payload = never_asked, .has_title = title, .title = {"Demo", 4},
                              .has_tool_map = map, .tools = &tool, .tool_count = map ? 1 : 0};
    asked = 0;
    if (kvc_save(directory, &entry, &report)) return false;
    const char *clause = report.failure.clause;
    return asked == 0 && clause != NULL && strcmp(clause, "KVC-FILE-4") == 0
           && strcmp(report.failure.field, "header.payload_bytes") == 0 && report.failure.offset == -1;
}

int main(int argc, char **argv)
{
    int directory = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1, bad = 0;
    if (directory < 0) return 2;
    static const struct { bool title, map; uint64_t section_bytes; } cases[] = {
        {false, false, 0}, {true, false, 8}, {false, true, 23}, {true, true, 31}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t most = (uint64_t)INT64_MAX - 54 - cases[i].section_bytes;
        if (refused(directory, most, cases[i].title, cases[i].map)) bad++, printf("case %zu: refused\n", i);
        for (uint64_t more = 1; more < 60; more++)
            if (!refused(directory, most + more, cases[i].title, cases[i].map))
                bad++, printf("case %zu: %d more not refused\n", i, (int)more);
        if (!refused(directory, UINT64_MAX, cases[i].title, cases[i].map)) bad++, printf("case %zu: 2^64-1\n", i);
    }
    close(directory);
    return bad != 0;
}
