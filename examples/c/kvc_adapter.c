/* kvc_adapter: stands between a conformance runner and kvc.c (spec/conformance.md, chapter 4, "One shot").
 *
 *   kvc_adapter start
 *   kvc_adapter read FILE    [--profile P] [--name NAME] [--arguments JSON]
 *   kvc_adapter touch DIR    --name NAME [--profile P] [--arguments JSON]
 *   kvc_adapter recover DIR
 *   kvc_adapter write DIR    --output FILE [--profile P] [--name NAME] [--arguments JSON]
 *
 * Exit codes: 0 accept, 1 reject, 77 unsupported, 3 an operation of the system failed, 2 wrong call. A name stays in
 * the escaped form: one that needs an escape is no name of an entry (KVC-NAME-5), and is never opened.
 */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#define _FILE_OFFSET_BITS 64

#include "json.h"
#include "kvc.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPTED = 0, REJECTED = 1, USAGE = 2, FAILED = 3, UNSUPPORTED = 77 };
enum { HASHED_BYTES_MAX = 16777216, VIEW_BYTES_MAX = 16777216 };

struct question {
    const char *input, *output, *name;
    enum kvc_profile profile;
    struct json arguments;
};

/* ---- answers ---- */

static void say_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') printf("\\u%04x", (unsigned)c);
        else putchar(c);
    }
    putchar('"');
}

static void say_number(const char *key, uint64_t value) { printf(", \"%s\": \"%" PRIu64 "\"", key, value); }

static int reject(const char *category, const char *clause, const char *field, const char *message)
{
    printf("{\"message\": ");
    say_text(message);
    if (category != NULL) printf(", \"category\": \"%s\"", category); /* a writer has none to say (kvc.md, 1.3) */
    if (clause != NULL) printf(", \"clause\": \"%s\"", clause);
    if (field != NULL && *field != '\0') printf(", \"field\": \"%s\"", field);
    puts("}");
    return REJECTED;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "kvc_adapter: %s: %s\n", what, strerror(error));
    return FAILED;
}

static int say_problem(const struct kvc_problem *p)
{
    /* A payload of another size than the caller said is the caller's mistake, not the system's (KVC-WRITER-2). */
    if (p->clause != NULL && strcmp(p->clause, "KVS-DIRECT-2") == 0)
        return reject(NULL, "KVC-WRITER-2", "header.payload_bytes", p->message);
    if (p->category == NULL && p->operation != NULL) {
        if (p->message == NULL) return fail(p->operation, p->error);
        fprintf(stderr, "kvc_adapter: %s: %s\n", p->operation, p->message);
        return FAILED;
    }
    return reject(p->category, p->clause, p->field, p->message != NULL ? p->message : "rejected");
}

/* ---- read ---- */

struct digest {
    uint64_t bytes;
    bool hashed;
    char hex[65];
};

static void to_digest(struct sha256 *sha, struct digest *out)
{
    uint8_t raw[32];
    sha256_end(sha, raw);
    for (size_t i = 0; i < sizeof raw; i++) snprintf(out->hex + 2 * i, 3, "%02x", (unsigned)raw[i]);
}

/* 1: done. 0: the file ends before. -1: errno. Of many bytes no case expects the hash. */
static int digest_run(struct kvc_file *f, uint64_t at, uint64_t n, struct digest *out)
{
    static uint8_t buffer[65536];
    struct sha256 sha;
    *out = (struct digest){.bytes = n, .hashed = n <= HASHED_BYTES_MAX};
    if (!out->hashed) return 1;
    sha256_start(&sha);
    while (n > 0) {
        size_t piece = n < sizeof buffer ? (size_t)n : sizeof buffer;
        ssize_t got = kvc_read_at(f, buffer, piece, at);
        if (got < 0) return -1;
        if ((size_t)got < piece) return 0;
        sha256_add(&sha, buffer, piece);
        at += piece, n -= piece;
    }
    to_digest(&sha, out);
    return 1;
}

static void say_digest(const struct digest *d)
{
    printf("{\"bytes\": \"%" PRIu64 "\"", d->bytes);
    if (d->hashed) printf(", \"sha256\": \"%s\"", d->hex);
    putchar('}');
}

static void say_header(const struct kvc_file *f)
{
    const struct kvc_header *h = &f->header;
    printf(", \"header\": {\"version\": \"%u\"", (unsigned)f->fixed[3]);
    say_number("quantisation_bits", h->quantisation_bits);
    say_number("reason", h->reason);
    say_number("flags", h->flags);
    say_number("byte7", h->byte7);
    say_number("tokens", h->tokens);
    say_number("hits", h->hits);
    say_number("context_tokens", h->context_tokens);
    say_number("byte20", h->byte20);
    printf(", \"reserved\": \"%02x%02x%02x\"", (unsigned)f->fixed[21], (unsigned)f->fixed[22], (unsigned)f->fixed[23]);
    say_number("created", h->created);
    say_number("last_used", h->last_used);
    say_number("payload_bytes", h->payload_bytes);
    putchar('}');
}

/* The tool map was found whole when the file was checked; what goes wrong now is an error, or a file that shrinks. */
static int say_tool_map(struct kvc_file *f)
{
    struct kvc_map map;
    struct digest id, block;
    int got = 1;
    printf(", \"tool_map\": [");
    for (bool more = kvc_map_start(f, &map), first = true; got == 1 && more && kvc_map_next(f, &map); first = false) {
        got = digest_run(f, map.id_at, map.id_bytes, &id);
        if (got == 1) got = digest_run(f, map.block_at, map.block_bytes, &block);
        if (got != 1) break;
        printf("%s{\"id\": ", first ? "" : ", ");
        say_digest(&id);
        printf(", \"block\": ");
        say_digest(&block);
        putchar('}');
    }
    putchar(']');
    if (got < 0) return fail("read", errno);
    if (got == 0 || map.damaged) return fail("the file changed while it was read", EIO);
    return ACCEPTED;
}

static const char *profile_name(int profile)
{
    return profile == KVC_ABI0 ? "ds4-abi0" : profile == KVC_ABI2 ? "ds4-abi2" : "ds4-abi3";
}

static int say_view(struct kvc_file *f, const char *name)
{
    static struct sha256 sha;
    struct digest text, payload, title = {.bytes = f->title_bytes, .hashed = true};
    const struct kvc_header *h = &f->header;
    int got = digest_run(f, KVC_FIXED, h->text_bytes, &text);
    if (got == 1) got = digest_run(f, f->payload_at, h->payload_bytes, &payload);
    if (got < 0) return fail("read", errno);
    if (got == 0) return reject("truncated", "KVC-FILE-3", "payload", "the file became shorter while it was read");
    printf("{\"name\": ");
    if (name != NULL) say_text(name);
    else printf("null");
    printf(", \"profile\": \"%s\"", profile_name(f->profile));
    say_number("file_bytes", f->size);
    say_header(f);
    printf(", \"text\": ");
    say_digest(&text);
    printf(", \"payload\": ");
    say_digest(&payload);
    if ((h->flags & KVC_TOOL_MAP) && !f->map_damaged) {
        int said = say_tool_map(f);
        if (said != ACCEPTED) return said;
    } else {
        printf(", \"tool_map\": null");
    }
    printf(", \"title\": ");
    if (h->flags & KVC_TITLE) {
        sha256_start(&sha);
        sha256_add(&sha, f->title, f->title_bytes);
        to_digest(&sha, &title);
        say_digest(&title);
    } else {
        printf("null");
    }
    if (f->map_damaged) printf(", \"trailing_bytes\": null"); /* nobody knows where they start */
    else say_number("trailing_bytes", f->size > f->end ? f->size - f->end : 0);
    puts("}");
    return ACCEPTED;
}

/* An argument that is a number; false if it is something else. Absent, it leaves `value` alone. */
static bool number_argument(const struct question *q, const char *key, uint64_t *value)
{
    struct json found;
    return !json_member(q->arguments, key, &found) || json_number(found, value);
}

static int answer_read(const struct question *q)
{
    static struct kvc_file file;
    static struct kvc_problem problems[KVC_PROBLEMS_MAX];
    struct kvc_reading how = {.profile = q->profile, .text_limit = KVC_TEXT_LIMIT, .name = q->name};
    if (!number_argument(q, "text_bytes_max", &how.text_limit)) return USAGE;
    size_t n = kvc_read(q->input, &how, &file, problems);
    int result = n > 0 ? say_problem(&problems[0]) : say_view(&file, q->name);
    if (file.fd >= 0) close(file.fd);
    return result;
}

/* ---- touch and recover ---- */

static int answer_touch(const struct question *q)
{
    struct kvc_report report;
    struct kvc_touching how = {.profile = q->profile, .text_limit = KVC_TEXT_LIMIT, .durable = true, .hits_added = 1,
                               .last_used = (uint64_t)time(NULL)};
    if (q->name == NULL || !number_argument(q, "hits_added", &how.hits_added)
        || !number_argument(q, "last_used", &how.last_used))
        return USAGE;
    int directory = open(q->input, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return fail(q->input, errno);
    bool done = kvc_touch(directory, q->name, &how, &report);
    close(directory); /* nothing was written through it */
    if (!done) return say_problem(&report.failure);
    puts("{}");
    return ACCEPTED;
}

struct names {
    char **at;
    size_t n;
    bool bad;
};

static void add_name(struct names *names, const char *name)
{
    char **more = realloc(names->at, (names->n + 1) * sizeof *more), *escaped = NULL;
    if (more != NULL) {
        names->at = more;
        escaped = malloc(3 * strlen(name) + 1);
    }
    if (escaped == NULL) {
        names->bad = true;
        return;
    }
    names->at[names->n++] = escaped;
    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = c >= 0x20 && c < 0x7f && c != '%';
        escaped += snprintf(escaped, 4, plain ? "%c" : "%%%02X", (int)c);
    }
}

struct recovery {
    struct names removed, temps;
};

/* What has the form of a temp name and is no regular file is found and left like the others (KVS-RECOVER-4). */
static void hear(void *to, const char *name, const char *what, int error)
{
    struct recovery *r = to;
    if (strcmp(what, "removed") == 0) add_name(&r->removed, name);
    else if (strcmp(what, "failed") != 0) add_name(&r->temps, name);
    else fprintf(stderr, "kvc_adapter: %s: %s\n", name, strerror(error));
}

static int in_order(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void say_names(const char *key, struct names *names)
{
    if (names->n > 0) qsort(names->at, names->n, sizeof *names->at, in_order);
    printf("\"%s\": [", key);
    for (size_t i = 0; i < names->n; i++) {
        if (i > 0) printf(", ");
        say_text(names->at[i]);
        free(names->at[i]);
    }
    putchar(']');
    free(names->at);
}

static int answer_recover(const struct question *q)
{
    struct recovery found = {{NULL, 0, false}, {NULL, 0, false}};
    int directory = open(q->input, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return fail(q->input, errno);
    bool good = kvc_recover(directory, hear, &found);
    close(directory);
    putchar('{');
    say_names("removed", &found.removed);
    printf(", ");
    say_names("temps", &found.temps);
    puts("}");
    if (found.removed.bad || found.temps.bad) return fail("recover", ENOMEM);
    return good ? ACCEPTED : FAILED;
}

/* ---- write ---- */

struct saving {
    struct kvc_entry entry;
    struct kvc_tool *tools;
    int payload;
};

static bool content(struct json value, struct kvc_bytes *out)
{
    struct json text;
    size_t n;
    uint8_t *bytes = json_member(value, "content", &text) ? json_bytes(text, &n) : NULL;
    if (bytes != NULL) *out = (struct kvc_bytes){bytes, n};
    return bytes != NULL;
}

static void drop(struct kvc_bytes bytes) { free((void *)(uintptr_t)bytes.at); }

static void release(struct saving *s)
{
    for (size_t i = 0; i < s->entry.tool_count; i++) drop(s->tools[i].id), drop(s->tools[i].block);
    free(s->tools);
    drop(s->entry.text);
    drop(s->entry.title);
    if (s->payload >= 0) close(s->payload);
}

static bool fill_tools(struct saving *s, struct json map)
{
    struct json one, part;
    s->entry.has_tool_map = true;
    while (json_next(&map, NULL, &one)) {
        struct kvc_tool tool = {{NULL, 0}, {NULL, 0}};
        struct kvc_tool *more = realloc(s->tools, (s->entry.tool_count + 1) * sizeof *more);
        if (more == NULL) return false;
        s->entry.tools = s->tools = more;
        bool whole = json_member(one, "id", &part) && content(part, &tool.id) && json_member(one, "block", &part)
                     && content(part, &tool.block);
        s->tools[s->entry.tool_count++] = tool;
        if (!whole) return false;
    }
    return true;
}

/* What the caller gives and kvc_entry has no place for, it refuses here: there is no way to ask for it. */
static const char *fill_header(struct saving *s, struct json header)
{
    struct kvc_entry *e = &s->entry;
    uint64_t flags = UINT64_MAX;
    const struct { const char *name; uint64_t *to; } fields[] = {
        {"quantisation_bits", &e->quantisation_bits}, {"reason", &e->reason}, {"byte7", &e->model_id},
        {"tokens", &e->tokens}, {"hits", &e->hits}, {"context_tokens", &e->context_tokens}, {"created", &e->created},
        {"last_used", &e->last_used}, {"payload_bytes", &e->payload_bytes}, {"flags", &flags}};
    struct json key, value;
    bool last_used_given = false;
    while (json_next(&header, &key, &value)) {
        size_t i = 0, n = sizeof fields / sizeof *fields;
        while (i < n && !json_is(key, fields[i].name)) i++;
        if (i == n || !json_number(value, fields[i].to)) return i == n ? "header" : fields[i].name;
        last_used_given = last_used_given || fields[i].to == &e->last_used;
    }
    if (!last_used_given) e->last_used = e->created; /* KVC-WRITER-4 */
    if (flags == UINT64_MAX) return NULL;
    uint64_t due = (uint64_t)(e->has_tool_map ? KVC_TOOL_MAP : 0) | (uint64_t)(e->has_title ? KVC_TITLE : 0);
    e->responses_visible = flags & KVC_RESPONSES_VISIBLE, e->thinking_visible = flags & KVC_THINKING_VISIBLE;
    return (flags & ~(uint64_t)(KVC_RESPONSES_VISIBLE | KVC_THINKING_VISIBLE)) == due ? NULL : "flags";
}

/* 0, or the exit status. */
static int fill(struct saving *s, const struct question *q, struct json view)
{
    struct json value;
    bool good = json_member(view, "text", &value) && content(value, &s->entry.text);
    if (good && json_member(view, "title", &value) && !json_is_null(value))
        s->entry.has_title = good = content(value, &s->entry.title);
    if (good && json_member(view, "tool_map", &value) && !json_is_null(value)) good = fill_tools(s, value);
    if (!good) return fail("view.json: no such view is known, or no memory is left", EINVAL);
    if (json_member(view, "header", &value)) {
        const char *wrong = fill_header(s, value);
        char field[64];
        snprintf(field, sizeof field, "header.%s", wrong != NULL ? wrong : "");
        if (wrong != NULL) return reject(NULL, "KVC-WRITER-5", field, "this writer cannot be asked for that");
    }
    if (q->name != NULL && strcmp(q->name, "sysprompt.kv") != 0)
        return reject(NULL, "KVC-NAME-1", "name", "a writer takes no name but the fixed one");
    s->entry.fixed_name = q->name != NULL;
    return 0;
}

static ssize_t from_file(void *source, void *to, size_t room) { return read(*(int *)source, to, room); }

/* The writer names its file itself. Where another name is asked for, the file is moved to it afterwards. */
static int save(struct saving *s, const struct question *q)
{
    struct kvc_report report;
    char folder[4096], made[4096 + KVC_NAME_ROOM];
    const char *slash = strrchr(q->output, '/'), *wanted = slash == NULL ? q->output : slash + 1;
    int length = slash == NULL ? 1 : slash == q->output ? 1 : (int)(slash - q->output);
    if (snprintf(folder, sizeof folder, "%.*s", length, slash == NULL ? "." : q->output) >= (int)sizeof folder)
        return fail(q->output, ENAMETOOLONG);
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;
    if (directory < 0) result = fail(folder, errno);
    else if (!kvc_save(directory, &s->entry, &report)) result = say_problem(&report.failure);
    else {
        snprintf(made, sizeof made, "%s/%s", folder, report.name);
        result = strcmp(report.name, wanted) == 0 || rename(made, q->output) == 0 ? ACCEPTED : fail(made, errno);
        if (result == ACCEPTED) printf("{\"name\": \"%s\"}\n", report.name);
    }
    if (directory >= 0) close(directory);
    return result;
}

/* The whole of view.json, for free(); NULL and errno if it cannot be had. */
static char *load(const char *path, size_t *n)
{
    struct stat info;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
    *n = 0;
    if (fd < 0) return NULL;
    if (fstat(fd, &info) != 0) error = errno;
    else if (info.st_size > VIEW_BYTES_MAX) error = EFBIG;
    else if ((text = malloc((size_t)info.st_size + 1)) == NULL) error = ENOMEM;
    for (ssize_t got = 1; error == 0 && got > 0 && *n < (size_t)info.st_size; *n += (size_t)got) {
        got = read(fd, text + *n, (size_t)info.st_size - *n);
        if (got < 0) error = errno, got = 0;
    }
    close(fd);
    errno = error;
    if (error == 0) return text;
    free(text);
    return NULL;
}

static int answer_write(const struct question *q)
{
    char path[4096];
    size_t n;
    struct json view;
    struct stat info;
    struct saving s = {.payload = -1,
                       .entry = {.profile = q->profile == KVC_AUTO ? KVC_ABI0 : q->profile, .text_limit = KVC_TEXT_LIMIT,
                                 .created = (uint64_t)time(NULL), .payload = from_file, .durable = true}};
    if (q->output == NULL || !number_argument(q, "text_bytes_max", &s.entry.text_limit)) return USAGE;
    if (snprintf(path, sizeof path, "%s/payload", q->input) >= (int)sizeof path) return fail(q->input, ENAMETOOLONG);
    s.payload = open(path, O_RDONLY | O_CLOEXEC);
    if (s.payload < 0 || fstat(s.payload, &info) != 0) return fail(path, errno);
    s.entry.source = &s.payload;
    s.entry.payload_bytes = (uint64_t)info.st_size;
    snprintf(path, sizeof path, "%s/view.json", q->input);
    char *text = load(path, &n);
    int result = text == NULL ? fail(path, errno) : !json_parse(text, n, &view) ? fail(path, EINVAL) : fill(&s, q, view);
    if (result == 0) result = save(&s, q);
    free(text);
    release(&s);
    return result;
}

/* ---- the call ---- */

static int start(void)
{
    puts("{\"implementation\": \"kvc.c\", \"version\": \"1\", \"language\": \"C\",\n"
         " \"operations\": [\"read\", \"touch\", \"recover\", \"write\"],\n"
         " \"profiles\": [\"auto\", \"ds4-abi0\", \"ds4-abi2\", \"ds4-abi3\"],\n"
         " \"behaviours\": {\"trailing-bytes\": \"mentions\"}}");
    return ACCEPTED;
}

static bool set_option(struct question *q, const char *option, const char *value, bool *profile_known)
{
    static const struct { const char *name; enum kvc_profile profile; } known[] = {
        {"auto", KVC_AUTO}, {"ds4-abi0", KVC_ABI0}, {"ds4-abi2", KVC_ABI2}, {"ds4-abi3", KVC_ABI3}};
    if (strcmp(option, "--name") == 0) q->name = value;
    else if (strcmp(option, "--output") == 0) q->output = value;
    else if (strcmp(option, "--arguments") == 0) return json_parse(value, strlen(value), &q->arguments);
    else if (strcmp(option, "--profile") == 0) {
        *profile_known = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(value, known[i].name) == 0) q->profile = known[i].profile, *profile_known = true;
    } else return false;
    return true;
}

static int run(int argc, char **argv)
{
    static const struct { const char *name; int (*answer)(const struct question *q); } operations[] = {
        {"read", answer_read}, {"touch", answer_touch}, {"recover", answer_recover}, {"write", answer_write}};
    struct question q = {.profile = KVC_AUTO, .arguments = {"{}", NULL}};
    bool profile_known = true;
    q.arguments.end = q.arguments.at + 2;
    if (argc > 1 && strcmp(argv[1], "start") == 0) return start();
    size_t i = 0, n = sizeof operations / sizeof *operations;
    while (argc > 1 && i < n && strcmp(argv[1], operations[i].name) != 0) i++;
    if (argc > 1 && i == n) return UNSUPPORTED;
    if (argc < 3 || argc % 2 == 0) return USAGE;
    q.input = argv[2];
    for (int a = 3; a < argc; a += 2)
        if (!set_option(&q, argv[a], argv[a + 1], &profile_known)) {
            fprintf(stderr, "kvc_adapter: cannot use %s %s\n", argv[a], argv[a + 1]);
            return USAGE;
        }
    return profile_known ? operations[i].answer(&q) : UNSUPPORTED;
}

int main(int argc, char **argv)
{
    int result = run(argc, argv);
    if (result == USAGE)
        fputs("usage: kvc_adapter start | read FILE | touch DIR | recover DIR | write DIR   (see README.md)\n", stderr);
    if (fflush(stdout) != 0 || ferror(stdout)) return fail("standard output", errno);
    return result;
}
