/* kvc_tool: reads, verifies, saves and touches KVC files and recovers a directory of them.
 *
 *   kvc_tool read FILE    [--profile P] [--text-limit N] [--name NAME]
 *   kvc_tool verify FILE  [--profile P] [--text-limit N] [--name NAME]
 *   kvc_tool save DIR --text FILE --payload FILE [--tokens N] [--quant N] [--reason N] [--context N]
 *            [--created N] [--last-used N] [--hits N] [--profile P] [--model-id N] [--title TITLE]
 *            [--tool-map ID=FILE]... [--tool-map =] [--responses-visible] [--thinking-visible]
 *            [--sysprompt] [--text-limit N] [--not-durable]
 *   kvc_tool touch DIR NAME [--hits-added N] [--last-used N] [--profile P] [--not-durable]
 *   kvc_tool recover DIR
 *
 * Every command prints one JSON object on one line. Exit codes:
 *   0      done, or good
 *   1      rejected (with a category), problems found (verify), or refused by a rule for writers
 *   2      usage
 *   3      an operation failed: the object says which, why, and what is visible
 *   77     an operation that this program does not have
 *   128+n  signal n arrived during a save; the save was undone, or was complete (the object says so)
 */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#define _FILE_OFFSET_BITS 64

#include "kvc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DONE = 0, REJECTED = 1, USAGE = 2, FAILED = 3, UNSUPPORTED = 77 };

/* ---- JSON ---- */

static void json_string(const char *text)
{
    if (text == NULL) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            printf("\\u%04x", (unsigned)c); /* nothing raw reaches a terminal (KVC-TEXT-2) */
        else
            putchar(c);
    }
    putchar('"');
}

static void json_hex(const char *key, const uint8_t *bytes, size_t n)
{
    printf(", \"%s\": \"", key);
    for (size_t i = 0; i < n; i++) printf("%02x", (unsigned)bytes[i]);
    putchar('"');
}

static void json_field(const char *key, const char *text)
{
    printf(", \"%s\": ", key);
    json_string(text);
}

static void json_number(const char *key, uint64_t value) { printf(", \"%s\": %" PRIu64, key, value); }

static void json_problem(const struct kvc_problem *p)
{
    printf("\"category\": ");
    json_string(p->category);
    json_field("clause", p->clause);
    json_field("field", p->field[0] != '\0' ? p->field : NULL);
    if (p->offset >= 0) json_number("offset", (uint64_t)p->offset);
    else printf(", \"offset\": null");
    json_field("operation", p->operation);
    json_field("message", p->message != NULL ? p->message : strerror(p->error));
}

static int exit_code(const struct kvc_problem *p)
{
    return p->category != NULL || p->operation == NULL ? REJECTED : FAILED;
}

/* ---- arguments ---- */

struct arguments {
    struct kvc_entry entry;
    struct kvc_reading reading;
    struct kvc_touching touching;
    const char *text_path, *payload_path;
    bool created_given, last_used_given;
    struct kvc_tool *tools;
};

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static bool parse_profile(const char *text, enum kvc_profile *out)
{
    static const struct { const char *name; enum kvc_profile profile; } known[] = {
        {"auto", KVC_AUTO}, {"ds4-abi0", KVC_ABI0}, {"ds4-abi2", KVC_ABI2}, {"ds4-abi3", KVC_ABI3}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text, known[i].name) == 0) {
            *out = known[i].profile;
            return true;
        }
    return false;
}

static bool load(const char *path, struct kvc_bytes *out)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) return false;
    uint8_t *bytes = NULL;
    size_t n = 0, room = 0, got = 0;
    do {
        if (n == room) {
            room = room == 0 ? 4096 : 2 * room;
            uint8_t *more = realloc(bytes, room);
            if (more == NULL) break;
            bytes = more;
        }
        n += got = fread(bytes + n, 1, room - n, in);
    } while (got > 0);
    bool good = !ferror(in) && feof(in);
    fclose(in); /* only read */
    *out = (struct kvc_bytes){bytes, n};
    if (!good) free(bytes);
    return good;
}

static bool add_tool(struct arguments *a, const char *value) /* ID=FILE, or = for an empty map */
{
    const char *equals = strchr(value, '=');
    if (equals == NULL) return false;
    a->entry.has_tool_map = true;
    if (equals == value && equals[1] == '\0') return true;
    struct kvc_tool *tools = realloc(a->tools, (a->entry.tool_count + 1) * sizeof *tools);
    if (tools == NULL) return false;
    a->entry.tools = a->tools = tools;
    struct kvc_tool *tool = &tools[a->entry.tool_count];
    tool->id = (struct kvc_bytes){value, (uint64_t)(equals - value)};
    if (!load(equals + 1, &tool->block)) return false;
    a->entry.tool_count++;
    return true;
}

static bool set_flag(struct arguments *a, const char *option)
{
    if (strcmp(option, "--not-durable") == 0) a->entry.durable = a->touching.durable = false;
    else if (strcmp(option, "--responses-visible") == 0) a->entry.responses_visible = true;
    else if (strcmp(option, "--thinking-visible") == 0) a->entry.thinking_visible = true;
    else if (strcmp(option, "--sysprompt") == 0) a->entry.fixed_name = true;
    else return false;
    return true;
}

static bool set_value(struct arguments *a, const char *option, const char *value)
{
    struct kvc_entry *e = &a->entry;
    const struct { const char *name; uint64_t *to; } numbers[] = {
        {"--tokens", &e->tokens}, {"--quant", &e->quantisation_bits}, {"--reason", &e->reason},
        {"--context", &e->context_tokens}, {"--created", &e->created}, {"--hits", &e->hits},
        {"--model-id", &e->model_id}, {"--last-used", &e->last_used},
        {"--text-limit", &e->text_limit}, {"--hits-added", &a->touching.hits_added}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(option, numbers[i].name) == 0) {
            a->created_given = a->created_given || numbers[i].to == &e->created;
            a->last_used_given = a->last_used_given || numbers[i].to == &e->last_used;
            return parse_number(value, numbers[i].to);
        }
    if (strcmp(option, "--text") == 0) a->text_path = value;
    else if (strcmp(option, "--payload") == 0) a->payload_path = value;
    else if (strcmp(option, "--name") == 0) a->reading.name = value;
    else if (strcmp(option, "--tool-map") == 0) return add_tool(a, value);
    else if (strcmp(option, "--profile") == 0) return parse_profile(value, &a->reading.profile);
    else if (strcmp(option, "--title") == 0) {
        e->has_title = true;
        e->title = (struct kvc_bytes){value, strlen(value)};
    } else return false;
    return true;
}

static bool parse(struct arguments *a, int argc, char **argv)
{
    uint64_t now = (uint64_t)time(NULL);
    *a = (struct arguments){
        .entry = {.quantisation_bits = 4, .tokens = 1, .text_limit = KVC_TEXT_LIMIT, .durable = true},
        .reading = {.profile = KVC_AUTO},
        .touching = {.hits_added = 1, .durable = true}};
    for (int i = 0; i < argc; i++) {
        if (set_flag(a, argv[i])) continue;
        if (i + 1 < argc && set_value(a, argv[i], argv[i + 1])) {
            i++;
            continue;
        }
        fprintf(stderr, "kvc_tool: cannot use %s\n", argv[i]);
        return false;
    }
    struct kvc_entry *e = &a->entry;
    if (!a->created_given) e->created = now; /* KVC-WRITER-4 */
    a->touching.last_used = a->last_used_given ? e->last_used : now;
    if (!a->last_used_given) e->last_used = e->created;
    a->touching.profile = a->reading.profile;
    a->touching.text_limit = a->reading.text_limit = e->text_limit;
    /* A writer is not told `auto`: it writes one profile (KVC-PROFILE-1), here the documented one. */
    e->profile = a->reading.profile == KVC_AUTO ? KVC_ABI0 : a->reading.profile;
    return true;
}

static void release(struct arguments *a)
{
    for (size_t i = 0; i < a->entry.tool_count; i++) free((void *)(uintptr_t)a->tools[i].block.at);
    free(a->tools);
    free((void *)(uintptr_t)a->entry.text.at);
}

/* ---- read and verify ---- */

static const char *profile_name(int profile)
{
    return profile == KVC_ABI0   ? "ds4-abi0"
           : profile == KVC_ABI2 ? "ds4-abi2"
           : profile == KVC_ABI3 ? "ds4-abi3"
                                 : NULL;
}

static void json_header(const struct kvc_file *f)
{
    static const char *const reasons[] = {"unknown",  "cold",         "continued",    "evict",
                                          "shutdown", "agent-system", "agent-session"};
    const struct kvc_header *h = &f->header;
    printf(", \"header\": {\"version\": 1");
    json_number("quantisation_bits", h->quantisation_bits);
    json_number("reason", h->reason);
    json_field("reason_name", reasons[h->reason <= 6 ? h->reason : 0]); /* KVC-HEADER-4 */
    json_number("flags", h->flags);
    json_number("byte7", h->byte7);
    json_number("tokens", h->tokens);
    json_number("hits", h->hits);
    json_number("context_tokens", h->context_tokens);
    json_number("byte20", h->byte20);
    json_hex("reserved", f->fixed + 21, 3);
    json_number("created", h->created);
    json_number("last_used", h->last_used);
    json_number("payload_bytes", h->payload_bytes);
    putchar('}');
}

/* Bytes that were there when the file was checked did not come: the file has become shorter (KVC-LIMIT-1),
 * or, where `got` is negative, the system failed to deliver them, which has no category. */
static struct kvc_problem did_not_come(const struct kvc_file *f, ssize_t got, const char *category,
                                       const char *clause)
{
    if (got < 0) return (struct kvc_problem){.operation = "read", .error = errno, .offset = -1};
    return (struct kvc_problem){.category = category, .clause = clause, .offset = (int64_t)f->size,
                                .message = "became shorter while it was read"};
}

/* The entries before the damage, if there is any, and the damage (KVC-TOOLMAP-6). */
static void json_tool_map(struct kvc_file *f)
{
    struct kvc_map map;
    uint8_t id[KVC_ID_MAX], digest[20];
    bool more = kvc_map_start(f, &map), first = true;
    printf(", \"tool_map\": {\"entries\": [");
    while (more && kvc_map_next(f, &map)) {
        ssize_t got = kvc_read_at(f, id, map.id_bytes, map.id_at);
        bool whole = got == (ssize_t)map.id_bytes;
        if (whole) got = kvc_hash(f, map.block_at, map.block_bytes, digest);
        if (!whole || got != 1) {
            map.damaged = true;
            map.damage = did_not_come(f, got, "bad-section", "KVC-TOOLMAP-6");
            snprintf(map.damage.field, sizeof map.damage.field, "tool_map.entries[%" PRIu32 "].%s",
                     map.next - 1, whole ? "block" : "id");
            break;
        }
        printf("%s{\"block_bytes\": %" PRIu32, first ? "" : ", ", map.block_bytes);
        json_hex("id", id, map.id_bytes);
        json_hex("block_sha1", digest, 20);
        putchar('}');
        first = false;
    }
    printf("], \"damage\": ");
    if (map.damaged) {
        putchar('{');
        json_problem(&map.damage);
        putchar('}');
    } else {
        fputs("null", stdout);
    }
    putchar('}');
}

static const char *identity_of(const struct kvc_file *f, const char *name)
{
    return f->identity_checked ? "matches" : strcmp(name, "sysprompt.kv") == 0 ? "fixed-name" : "unknown";
}

static int show(struct kvc_file *f, const char *name)
{
    static uint8_t text[4096];
    uint8_t payload[20];
    size_t shown = f->header.text_bytes < sizeof text ? f->header.text_bytes : sizeof text;
    ssize_t got = kvc_read_at(f, text, shown, KVC_FIXED);
    bool whole = got == (ssize_t)shown;
    if (whole) got = kvc_hash(f, f->payload_at, f->header.payload_bytes, payload);
    if (!whole || got != 1) {
        struct kvc_problem p = did_not_come(f, got, "truncated", "KVC-FILE-3");
        strcpy(p.field, f->size < f->payload_at ? "text" : "payload");
        printf("{\"ok\": false, ");
        json_problem(&p);
        puts("}");
        return exit_code(&p);
    }
    printf("{\"ok\": true");
    json_field("name", name);
    json_field("identity", identity_of(f, name)); /* unknown: shown, and not to be used (KVC-NAME-1) */
    json_number("size", f->size);
    json_field("profile", profile_name(f->profile));
    json_header(f);
    json_number("text_bytes", f->header.text_bytes);
    json_hex("text_sha1", f->text_sha1, 20);
    json_hex("text_start", text, shown);
    json_number("payload_offset", f->payload_at);
    json_hex("payload_sha1", payload, 20); /* of what is there: nothing vouches for it */
    if (f->header.flags & KVC_TOOL_MAP) json_tool_map(f);
    if (f->header.flags & KVC_TITLE) json_hex("title", f->title, f->title_bytes);
    if (!f->map_damaged) json_number("bytes_behind", f->size > f->end ? f->size - f->end : 0); /* KVC-FILE-5 */
    puts("}");
    return DONE;
}

static int judge(const struct kvc_file *f, const struct kvc_problem *problems, size_t n)
{
    bool usable = true;
    for (size_t i = 0; i < n; i++) usable = usable && problems[i].report_only;
    printf("{\"ok\": %s, \"usable\": %s, \"problems\": [", n == 0 ? "true" : "false",
           usable ? "true" : "false");
    for (size_t i = 0; i < n; i++) {
        printf("%s{", i == 0 ? "" : ", ");
        json_problem(&problems[i]);
        putchar('}');
    }
    printf("], \"identity_checked\": %s", f->identity_checked ? "true" : "false");
    if (usable && !f->map_damaged) json_number("bytes_behind", f->size > f->end ? f->size - f->end : 0);
    json_field("not_covered", "payload and header values have no checksum (kvc.md, chapter 8)");
    puts("}");
    return n == 0 ? DONE : exit_code(&problems[n - 1]);
}

static int command_read(const char *path, struct arguments *a, bool verify)
{
    static struct kvc_file file;
    static struct kvc_problem problems[KVC_PROBLEMS_MAX];
    const char *slash = strrchr(path, '/');
    a->reading.verify = verify;
    size_t n = kvc_read(path, &a->reading, &file, problems);
    int result;
    if (verify) {
        result = judge(&file, problems, n);
    } else if (n > 0) {
        printf("{\"ok\": false, ");
        json_problem(&problems[0]);
        puts("}");
        result = exit_code(&problems[0]);
    } else {
        result = show(&file, a->reading.name ? a->reading.name : slash ? slash + 1 : path);
    }
    if (file.fd >= 0) close(file.fd);
    return result;
}

/* ---- save, touch, recover ---- */

static ssize_t from_file(void *source, void *to, size_t room) { return read(*(int *)source, to, room); }

/* SIGINT and SIGTERM stay blocked in a save and are looked at where it asks: so they interrupt no
 * call of the system, neither creation nor publication nor cleaning up (KVS-FAIL-4). */
static int pending_signal(void)
{
    sigset_t pending;
    if (sigpending(&pending) != 0) return 0;
    return sigismember(&pending, SIGINT) == 1 ? SIGINT : sigismember(&pending, SIGTERM) == 1 ? SIGTERM : 0;
}

static bool is_interrupted(void) { return pending_signal() != 0; }

static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is then EFBIG, like a full disk */
}

static int finish_report(const struct kvc_report *r, bool done)
{
    printf("{\"ok\": %s", done ? "true" : "false");
    json_field("name", r->name[0] != '\0' ? r->name : NULL);
    if (!done) {
        printf(", ");
        json_problem(&r->failure);
    }
    printf(", \"visible\": %s", r->visible == KVC_VISIBLE       ? "true"
                                : r->visible == KVC_NOT_VISIBLE ? "false"
                                                                : "null");
    json_field("left", r->left[0] != '\0' ? r->left : NULL);
    json_field("unlink_error", r->unlink_error != 0 ? strerror(r->unlink_error) : NULL);
    json_field("close_error", r->close_error != 0 ? strerror(r->close_error) : NULL);
    return done ? DONE : exit_code(&r->failure);
}

static void say_nothing(void *to, const char *name, const char *what, int error)
{
    (void)to, (void)name, (void)what, (void)error;
}

/* Opens a store; that is when recovery runs (KVS-RECOVER-1). It failing is told, and fails nothing. */
static int open_store(const char *path, bool *recovered)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        fprintf(stderr, "kvc_tool: %s: %s\n", path, strerror(errno));
    else
        *recovered = kvc_recover(directory, say_nothing, NULL);
    return directory;
}

static int fail_early(const char *operation, const char *path)
{
    struct kvc_problem p = {.operation = operation, .error = errno, .offset = -1};
    fprintf(stderr, "kvc_tool: %s: %s\n", path, strerror(errno));
    printf("{\"ok\": false, ");
    json_problem(&p);
    puts(", \"visible\": false}");
    return FAILED;
}

static int command_save(const char *path, struct arguments *a)
{
    struct kvc_report report;
    struct stat info;
    bool recovered = true;
    if (a->text_path == NULL || a->payload_path == NULL) return USAGE;
    if (!load(a->text_path, &a->entry.text)) return fail_early("read", a->text_path);
    int payload = open(a->payload_path, O_RDONLY | O_CLOEXEC);
    if (payload < 0 || fstat(payload, &info) != 0) return fail_early("open", a->payload_path);
    if (!S_ISREG(info.st_mode)) { /* its size is not known beforehand (KVS-DIRECT-1) */
        fprintf(stderr, "kvc_tool: %s: only a regular file has a predicted size\n", a->payload_path);
        return UNSUPPORTED;
    }
    a->entry.payload = from_file, a->entry.source = &payload;
    a->entry.payload_bytes = (uint64_t)info.st_size;
    a->entry.interrupted = is_interrupted;
    block_signals();
    int directory = open_store(path, &recovered);
    if (directory < 0) return fail_early("open", path);
    bool saved = kvc_save(directory, &a->entry, &report);
    int result = finish_report(&report, saved);
    printf(", \"durable\": %s, \"profile\": \"%s\", \"recovered\": %s}\n",
           a->entry.durable ? "true" : "false", profile_name((int)a->entry.profile),
           recovered ? "true" : "false");
    close(directory), close(payload); /* nothing was written through either */
    return pending_signal() != 0 ? 128 + pending_signal() : result;
}

/* Signals keep their default here: a touch may wait for a lock, and has nothing to clean up. */
static int command_touch(const char *path, const char *name, struct arguments *a)
{
    struct kvc_report report;
    bool recovered = true;
    int directory = open_store(path, &recovered);
    if (directory < 0) return fail_early("open", path);
    bool touched = kvc_touch(directory, name, &a->touching, &report);
    int result = finish_report(&report, touched);
    if (touched) {
        json_number("hits", report.hits);
        json_number("last_used", a->touching.last_used);
    }
    printf(", \"durable\": %s, \"recovered\": %s}\n", a->touching.durable ? "true" : "false",
           recovered ? "true" : "false");
    close(directory);
    return result;
}

static void say_found(void *to, const char *name, const char *what, int error)
{
    bool *first = to;
    printf("%s{\"name\": ", *first ? "" : ", ");
    json_string(name);
    json_field("what", what);
    json_field("message", error != 0 ? strerror(error) : NULL);
    putchar('}');
    *first = false;
}

static int command_recover(const char *path)
{
    bool first = true;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return fail_early("open", path);
    printf("{\"found\": [");
    bool good = kvc_recover(directory, say_found, &first);
    printf("], \"ok\": %s}\n", good ? "true" : "false");
    close(directory);
    return good ? DONE : FAILED;
}

static int usage(void)
{
    fputs("usage: kvc_tool read FILE | verify FILE | save DIR --text FILE --payload FILE |\n"
          "       touch DIR NAME | recover DIR   (options: see README.md)\n", stderr);
    return USAGE;
}

static int run(int argc, char **argv, struct arguments *a)
{
    const char *command = argc > 1 ? argv[1] : "";
    bool touch = strcmp(command, "touch") == 0, verify = strcmp(command, "verify") == 0;
    bool save = strcmp(command, "save") == 0, recover = strcmp(command, "recover") == 0;
    int fixed = touch ? 4 : 3;
    if (argc > 1 && !touch && !verify && !save && !recover && strcmp(command, "read") != 0) {
        fprintf(stderr, "kvc_tool: no operation %s\n", command);
        return UNSUPPORTED;
    }
    if (argc < fixed || !parse(a, argc - fixed, argv + fixed)) return usage();
    int result = save      ? command_save(argv[2], a)
                 : touch   ? command_touch(argv[2], argv[3], a)
                 : recover ? command_recover(argv[2])
                           : command_read(argv[2], a, verify);
    return result == USAGE ? usage() : result;
}

int main(int argc, char **argv)
{
    static struct arguments arguments;
    int result = run(argc, argv, &arguments);
    release(&arguments);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("kvc_tool: standard output");
        return result == DONE ? FAILED : result;
    }
    return result;
}
