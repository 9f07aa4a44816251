#define _DEFAULT_SOURCE /* flock, getentropy */
#define _DARWIN_C_SOURCE
#define _FILE_OFFSET_BITS 64

#include "kvc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

/* ---- SHA-1 ---- */

static uint32_t rotate(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80];
    for (int t = 0; t < 16; t++, p += 4)
        w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int t = 16; t < 80; t++) w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f = t < 20   ? ((b & c) | (~b & d)) + 0x5a827999u
                     : t < 40 ? (b ^ c ^ d) + 0x6ed9eba1u
                     : t < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu
                              : (b ^ c ^ d) + 0xca62c1d6u;
        uint32_t next = rotate(a, 5) + f + e + w[t];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

void kvc_sha1_start(struct kvc_sha1 *sha)
{
    *sha = (struct kvc_sha1){
        .state = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u}};
}

void kvc_sha1_add(struct kvc_sha1 *sha, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        size_t used = (size_t)(sha->bytes % 64), take = 64 - used < n ? 64 - used : n;
        memcpy(sha->block + used, p, take);
        sha->bytes += take, p += take, n -= take;
        if (used + take == 64) sha1_block(sha->state, sha->block);
    }
}

void kvc_sha1_end(struct kvc_sha1 *sha, uint8_t digest[20])
{
    uint64_t bits = sha->bytes * 8;
    kvc_sha1_add(sha, "\x80", 1);
    while (sha->bytes % 64 != 56) kvc_sha1_add(sha, "", 1);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    kvc_sha1_add(sha, length, 8);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- integers, the fixed part, names ---- */

static void put_le(uint8_t *at, uint64_t value, int n) /* KVC-FILE-1 */
{
    for (int i = 0; i < n; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *at, int n)
{
    uint64_t value = 0;
    while (n-- > 0) value = value << 8 | at[n];
    return value;
}

static uint32_t get_u32(const uint8_t *at) { return (uint32_t)get_le(at, 4); }
void kvc_put_u32(uint8_t *at, uint32_t value) { put_le(at, value, 4); }

void kvc_encode(const struct kvc_header *h, uint8_t out[KVC_FIXED])
{
    memset(out, 0, KVC_FIXED); /* reserved bytes are 0 (KVC-WRITER-1) */
    memcpy(out, "KVC\1", 4);
    out[4] = h->quantisation_bits, out[5] = h->reason, out[6] = h->flags, out[7] = h->byte7;
    out[20] = h->byte20;
    kvc_put_u32(out + 8, h->tokens), kvc_put_u32(out + 12, h->hits);
    kvc_put_u32(out + 16, h->context_tokens), kvc_put_u32(out + 48, h->text_bytes);
    put_le(out + 24, h->created, 8), put_le(out + 32, h->last_used, 8);
    put_le(out + 40, h->payload_bytes, 8);
}

void kvc_decode(const uint8_t in[KVC_FIXED], struct kvc_header *h)
{
    *h = (struct kvc_header){
        .quantisation_bits = in[4], .reason = in[5], .flags = in[6], .byte7 = in[7], .byte20 = in[20],
        .tokens = get_u32(in + 8), .hits = get_u32(in + 12), .context_tokens = get_u32(in + 16),
        .text_bytes = get_u32(in + 48), .created = get_le(in + 24, 8),
        .last_used = get_le(in + 32, 8), .payload_bytes = get_le(in + 40, 8)};
}

static void to_hex(char *to, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) sprintf(to + 2 * i, "%02x", (unsigned)bytes[i]);
}

void kvc_digest_name(const uint8_t digest[20], char name[KVC_NAME_ROOM])
{
    to_hex(name, digest, 20);
    strcpy(name + 40, ".kv");
}

bool kvc_is_digest_name(const char *name) /* digits of either case, suffix of one (KVC-NAME-2) */
{
    return strspn(name, "0123456789abcdefABCDEF") == 40 && strcmp(name + 40, ".kv") == 0;
}

static bool is_fixed_name(const char *name) { return strcmp(name, "sysprompt.kv") == 0; }

bool kvc_is_entry_name(const char *name) { return kvc_is_digest_name(name) || is_fixed_name(name); }

static bool same_name(const char *name, const uint8_t digest[20])
{
    char due[KVC_NAME_ROOM];
    kvc_digest_name(digest, due);
    if (!kvc_is_digest_name(name)) return false;
    for (int i = 0; i < 40; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'F') c = (char)(c - 'A' + 'a'); /* not tolower: no locale in a name */
        if (c != due[i]) return false;
    }
    return true;
}

/* ---- reading: the checks of kvc.md 1.4, in its order ---- */

struct check {
    const struct kvc_reading *how;
    struct kvc_file *file;
    struct kvc_problem *problems;
    size_t found;
};

/* The result says whether the check may go on, for the steps that let a verifier do so. */
static bool found(struct check *c, const char *category, const char *clause, const char *field,
                  uint64_t offset, const char *message)
{
    struct kvc_problem *p = &c->problems[c->found++];
    *p = (struct kvc_problem){
        .category = category, .clause = clause, .offset = (int64_t)offset, .message = message};
    snprintf(p->field, sizeof p->field, "%s", field);
    return c->how->verify;
}

static bool failed(struct check *c, const char *operation)
{
    c->problems[c->found++] =
        (struct kvc_problem){.operation = operation, .error = errno, .offset = -1};
    return false;
}

ssize_t kvc_read_at(struct kvc_file *file, void *to, size_t n, uint64_t at)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(file->fd, (uint8_t *)to + done, n - done, (off_t)(at + done));
        if (got < 0) return -1;
        if (got == 0) { /* the file ends here by now, or before (KVC-LIMIT-1) */
            struct stat info;
            uint64_t end = at + done;
            if (fstat(file->fd, &info) == 0 && (uint64_t)info.st_size < end) end = (uint64_t)info.st_size;
            if (end < file->size) file->size = end;
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int kvc_hash(struct kvc_file *file, uint64_t at, uint64_t n, uint8_t digest[20])
{
    struct kvc_sha1 sha;
    uint8_t buffer[65536];
    kvc_sha1_start(&sha);
    while (n > 0) {
        size_t piece = n < sizeof buffer ? (size_t)n : sizeof buffer;
        ssize_t got = kvc_read_at(file, buffer, piece, at);
        if (got < 0) return -1;
        if ((size_t)got < piece) return 0;
        kvc_sha1_add(&sha, buffer, piece);
        at += piece, n -= piece;
    }
    kvc_sha1_end(&sha, digest);
    return 1;
}

/* Steps 1 to 9. False: nothing behind may be judged. */
static bool check_fixed(struct check *c)
{
    struct kvc_file *f = c->file;
    ssize_t got = kvc_read_at(f, f->fixed, KVC_FIXED, 0);
    if (got < 0) return failed(c, "read");
    if (got < KVC_FIXED)
        return found(c, "truncated", "KVC-FILE-3", "header", f->size, "no whole fixed part"), false;
    kvc_decode(f->fixed, &f->header);
    const struct kvc_header *h = &f->header;
    if (memcmp(f->fixed, "KVC", 3) != 0)
        return found(c, "bad-magic", "KVC-HEADER-1", "header.magic", 0, "is not KVC"), false;
    if (f->fixed[3] != 1)
        return found(c, "unsupported-version", "KVC-HEADER-2", "header.version", 3, "is not 1"), false;
    if (h->quantisation_bits != 2 && h->quantisation_bits != 4
        && !found(c, "invalid-field", "KVC-HEADER-3", "header.quantisation_bits", 4, "is not 2 or 4"))
        return false;
    if (h->tokens == 0
        && !found(c, "invalid-field", "KVC-HEADER-10", "header.tokens", 8, "is 0"))
        return false;

    bool automatic = c->how->profile == KVC_AUTO;
    f->profile = automatic ? h->byte20 : (int)c->how->profile;
    bool known = f->profile == KVC_ABI0 || f->profile == KVC_ABI2 || f->profile == KVC_ABI3;
    if (automatic ? !known : f->profile != KVC_ABI0 && f->profile != h->byte20) {
        f->profile = KVC_AUTO;
        if (!found(c, "unsupported-profile", automatic ? "KVC-PROFILE-2" : "KVC-PROFILE-3",
                   "header.byte20", 20, "is not of the profile wanted"))
            return false;
    }

    if (h->payload_bytes > UINT64_C(9223372036854775755) - h->text_bytes)
        return found(c, "limit", "KVC-FILE-4", "header.payload_bytes", 40,
                     "lengths add up to more than a file can have"), false;
    f->payload_at = KVC_FIXED + (uint64_t)h->text_bytes;
    f->sections_at = f->end = f->payload_at + h->payload_bytes;
    if (f->size < f->sections_at)
        return found(c, "truncated", "KVC-FILE-3", f->size < f->payload_at ? "text" : "payload",
                     f->size, "the file ends before its lengths are satisfied"), false;
    return h->text_bytes <= c->how->text_limit
           || found(c, "limit", "KVC-LIMIT-3", "text_bytes", 48, "is over the limit of this reader");
}

static bool damage(struct kvc_map *map, const char *clause, uint64_t offset, const char *message,
                   const char *field)
{
    map->damaged = true;
    map->damage = (struct kvc_problem){.category = "bad-section", .clause = clause, .message = message,
                                       .report_only = true, .offset = (int64_t)offset};
    if (strncmp(field, "tool_map", 8) == 0)
        snprintf(map->damage.field, sizeof map->damage.field, "%s", field);
    else
        snprintf(map->damage.field, sizeof map->damage.field, "tool_map.entries[%" PRIu32 "].%s",
                 map->next, field);
    return false;
}

static bool cut(const struct kvc_file *f, struct kvc_map *map, const char *field)
{
    return damage(map, "KVC-TOOLMAP-6", f->size, "the file ends before the map does", field);
}

/* Reads the eight bytes at map->at, or fewer at the end of the file. -1: an error of the system. */
static int map_head(struct kvc_file *f, struct kvc_map *map, uint8_t head[8])
{
    uint64_t left = f->size > map->at ? f->size - map->at : 0; /* the file may have become shorter */
    ssize_t got = kvc_read_at(f, head, left < 8 ? (size_t)left : 8, map->at);
    if (got < 0) {
        map->damaged = true;
        map->damage = (struct kvc_problem){.operation = "read", .error = errno, .offset = -1};
    }
    return (int)got;
}

bool kvc_map_start(struct kvc_file *f, struct kvc_map *map)
{
    uint8_t head[8];
    *map = (struct kvc_map){.at = f->sections_at};
    int got = map_head(f, map, head);
    if (got < 0) return false;
    /* In file order, each field once all its bytes are there (KVC-TOOLMAP-6). */
    if (got < 3) return cut(f, map, "tool_map.magic");
    if (memcmp(head, "KTM", 3) != 0)
        return damage(map, "KVC-TOOLMAP-1", map->at, "is not KTM", "tool_map.magic");
    if (got < 4) return cut(f, map, "tool_map.version");
    if (head[3] != 1)
        return damage(map, "KVC-TOOLMAP-2", map->at + 3, "is not 1", "tool_map.version");
    if (got < 8) return cut(f, map, "tool_map.count");
    map->count = get_u32(head + 4);
    if (map->count > KVC_TOOLS_MAX)
        return damage(map, "KVC-TOOLMAP-3", map->at + 4, "is over 400000", "tool_map.count");
    map->at += 8;
    return true;
}

bool kvc_map_next(struct kvc_file *f, struct kvc_map *map)
{
    uint8_t head[8];
    if (map->damaged || map->next == map->count) return false;
    int got = map_head(f, map, head);
    if (got < 0) return false;
    if (got < 8) return cut(f, map, got < 4 ? "id_bytes" : "block_bytes");
    map->id_bytes = get_u32(head);
    map->block_bytes = get_u32(head + 4);
    if (map->id_bytes == 0 || map->id_bytes > KVC_ID_MAX)
        return damage(map, "KVC-TOOLMAP-4", map->at, "is not 1 to 256", "id_bytes");
    if (map->block_bytes == 0 || map->block_bytes > KVC_BLOCK_MAX)
        return damage(map, "KVC-TOOLMAP-5", map->at + 4, "is not 1 to 536870912", "block_bytes");
    uint64_t left = f->size - map->at - 8, both = (uint64_t)map->id_bytes + map->block_bytes;
    if (both > left) return cut(f, map, map->id_bytes > left ? "id" : "block");
    map->id_at = map->at + 8;
    map->block_at = map->id_at + map->id_bytes;
    map->at += 8 + both;
    map->next++;
    return true;
}

static bool check_tool_map(struct check *c) /* step 10 */
{
    struct kvc_file *f = c->file;
    struct kvc_map map;
    if (kvc_map_start(f, &map))
        while (kvc_map_next(f, &map)) continue;
    if (!map.damaged) {
        f->end = map.at;
        return true;
    }
    f->map_damaged = true;
    if (map.damage.operation != NULL) {
        errno = map.damage.error;
        return failed(c, map.damage.operation);
    }
    if (c->how->verify) c->problems[c->found++] = map.damage; /* between steps 9 and 10 */
    if (f->header.flags & KVC_TITLE) /* the title cannot be found (KVC-TITLE-2) */
        return found(c, map.damage.category, "KVC-TITLE-2", map.damage.field,
                     (uint64_t)map.damage.offset, map.damage.message), false;
    return true;
}

static bool check_title(struct check *c) /* steps 11 and 12 */
{
    struct kvc_file *f = c->file;
    uint8_t count[4];
    uint64_t left = f->size - f->end;
    ssize_t got = left < 4 ? 0 : kvc_read_at(f, count, 4, f->end);
    if (got < 0) return failed(c, "read");
    if (got < 4)
        return found(c, "bad-section", "KVC-TITLE-1", "title_bytes", f->size, "is cut short"), false;
    f->title_bytes = get_u32(count);
    if (f->title_bytes > left - 4)
        return found(c, "bad-section", "KVC-TITLE-1", "title", f->size, "is cut short"), false;
    if (f->title_bytes > KVC_TITLE_MAX)
        return found(c, "limit", "KVC-TITLE-3", "title_bytes", f->end, "is over 65536"), false;
    got = kvc_read_at(f, f->title, f->title_bytes, f->end + 4);
    if (got < 0) return failed(c, "read");
    if ((uint64_t)got < f->title_bytes)
        return found(c, "bad-section", "KVC-TITLE-1", "title", f->size, "is cut short"), false;
    f->end += 4 + (uint64_t)f->title_bytes;
    return true;
}

static bool check_identity(struct check *c, const char *name) /* step 13 */
{
    struct kvc_file *f = c->file;
    bool session = f->header.flags & KVC_TITLE;
    if (f->header.text_bytes <= c->how->text_limit) {
        int done = kvc_hash(f, KVC_FIXED, f->header.text_bytes, f->text_sha1);
        if (done < 0) return failed(c, "read");
        if (done == 0)
            return found(c, "truncated", "KVC-FILE-3", "text", f->size, "became shorter"), false;
        f->text_hashed = true;
    }
    /* A file's own name that is no entry's says nothing; a name that was told is tested (KVC-NAME-1). */
    bool known = c->how->name != NULL || kvc_is_digest_name(name);
    if (is_fixed_name(name) || !known || (!session && !f->text_hashed)) return true;
    f->identity_checked = true;
    uint8_t digest[20];
    memcpy(digest, f->text_sha1, 20);
    if (session) {
        struct kvc_sha1 sha;
        kvc_sha1_start(&sha);
        kvc_sha1_add(&sha, f->title, f->title_bytes);
        kvc_sha1_add(&sha, f->fixed + 24, 8); /* the creation time as it stands in the file */
        kvc_sha1_end(&sha, digest);
    }
    return same_name(name, digest)
           || found(c, "identity-mismatch", session ? "KVC-NAME-3" : "KVC-NAME-1", "name", UINT64_MAX,
                    "is not the digest that the content calls for");
}

/* Links are not followed and a FIFO is not waited for; the opened file decides (KVC-NAME-7). */
static int open_entry(int directory, const char *path, int how, struct stat *info)
{
    int fd = openat(directory, path, how | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, info) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Whether it is no regular file that could not be opened: a link (ELOOP), a socket, a directory for writing. */
static bool is_other_kind(int directory, const char *path)
{
    int error = errno;
    struct stat info;
    bool other = fstatat(directory, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(info.st_mode);
    errno = error;
    return other;
}

size_t kvc_read(const char *path, const struct kvc_reading *how, struct kvc_file *file,
                struct kvc_problem problems[KVC_PROBLEMS_MAX])
{
    struct check c = {.how = how, .file = file, .problems = problems};
    const char *slash = strrchr(path, '/');
    const char *name = how->name != NULL ? how->name : slash != NULL ? slash + 1 : path;
    struct stat info;
    memset(file, 0, sizeof *file);
    file->fd = open_entry(AT_FDCWD, path, O_RDONLY, &info);
    if (file->fd < 0 ? is_other_kind(AT_FDCWD, path) : !S_ISREG(info.st_mode)) /* step 0 */
        return found(&c, "identity-mismatch", "KVC-NAME-7", "name", UINT64_MAX, "no regular file"),
               c.found;
    if (file->fd < 0) return failed(&c, "open"), c.found;
    file->size = (uint64_t)info.st_size;
    uint64_t size;
    do { /* again where the file has become shorter meanwhile: it is judged as cut off there (KVC-LIMIT-1) */
        size = file->size;
        c.found = 0;
        file->map_damaged = file->text_hashed = file->identity_checked = false;
        if (check_fixed(&c) && (!(file->header.flags & KVC_TOOL_MAP) || check_tool_map(&c))
            && (!(file->header.flags & KVC_TITLE) || check_title(&c)))
            check_identity(&c, name);
    } while (file->size < size);
    return c.found;
}

/* ---- writing: the direct strategy (KVS-DIRECT-1) ---- */

static bool refuse(struct kvc_problem *p, bool broken, const char *clause, const char *field,
                   const char *message)
{
    if (!broken) return false;
    *p = (struct kvc_problem){.clause = clause, .message = message, .offset = -1};
    snprintf(p->field, sizeof p->field, "%s", field);
    return true;
}

static bool refuse_tools(const struct kvc_entry *e, struct kvc_problem *p)
{
    if (refuse(p, e->tool_count > KVC_TOOLS_MAX, "KVC-TOOLMAP-3", "tool_map.count", "is over 400000"))
        return true;
    for (size_t i = 0; i < e->tool_count; i++) {
        const struct kvc_tool *t = &e->tools[i];
        char id[64], block[64];
        snprintf(id, sizeof id, "tool_map.entries[%zu].id_bytes", i);
        snprintf(block, sizeof block, "tool_map.entries[%zu].block_bytes", i);
        if (refuse(p, t->id.n == 0 || t->id.n > KVC_ID_MAX, "KVC-TOOLMAP-4", id, "is not 1 to 256")
            || refuse(p, t->block.n == 0 || t->block.n > KVC_BLOCK_MAX, "KVC-TOOLMAP-5", block,
                      "is not 1 to 536870912"))
            return true;
    }
    return false;
}

/* Of lengths that are within their limits, so that the sum stays far below 2^63. */
static uint64_t section_bytes(const struct kvc_entry *e)
{
    uint64_t sum = e->has_title ? 4 + e->title.n : 0;
    if (e->has_tool_map) sum += 8;
    for (size_t i = 0; e->has_tool_map && i < e->tool_count; i++)
        sum += 8 + e->tools[i].id.n + e->tools[i].block.n;
    return sum;
}

/* Every rule for writers, before anything is created (KVS-SAVE-1). */
static bool refuse_entry(const struct kvc_entry *e, struct kvc_problem *p)
{
    uint64_t q = e->quantisation_bits;
    bool known = e->profile == KVC_ABI0 || e->profile == KVC_ABI2 || e->profile == KVC_ABI3;
    return refuse(p, !known, "KVC-PROFILE-1", "profile", "a writer writes one profile")
           || refuse(p, q != 2 && q != 4, "KVC-HEADER-3", "header.quantisation_bits", "is not 2 or 4")
           || refuse(p, e->reason > 6, "KVC-HEADER-4", "header.reason", "is over 6")
           || refuse(p, e->profile == KVC_ABI0 && e->model_id != 0, "KVC-HEADER-9", "header.byte7",
                     "the profile has no model id")
           || refuse(p, e->model_id > 255, "KVC-WRITER-5", "header.byte7", "is over 255")
           || refuse(p, e->tokens == 0, "KVC-HEADER-10", "header.tokens", "is 0")
           || refuse(p, e->tokens > UINT32_MAX, "KVC-WRITER-5", "header.tokens", "is over 2^32-1")
           || refuse(p, e->hits > UINT32_MAX, "KVC-WRITER-5", "header.hits", "is over 2^32-1")
           || refuse(p, e->context_tokens > UINT32_MAX, "KVC-WRITER-5", "header.context_tokens",
                     "is over 2^32-1")
           || refuse(p, e->text.n > e->text_limit, "KVC-LIMIT-3", "text_bytes", "is over the limit")
           || refuse(p, e->text.n > UINT32_MAX, "KVC-WRITER-5", "text_bytes", "is over 2^32-1")
           || refuse(p, e->payload_bytes == 0 && !e->has_title, "KVC-PAYLOAD-2",
                     "header.payload_bytes", "is 0 in an entry without title")
           || refuse(p, e->has_title && e->title.n > KVC_TITLE_MAX, "KVC-TITLE-3", "title_bytes",
                     "is over 65536")
           || (e->has_tool_map && refuse_tools(e, p))
           || refuse(p, e->payload_bytes > UINT64_C(9223372036854775755) - e->text.n - section_bytes(e),
                     "KVC-FILE-4", "header.payload_bytes", "lengths add up to more than a file can have");
}

static void encode_entry(const struct kvc_entry *e, uint8_t fixed[KVC_FIXED], char *name)
{
    struct kvc_header h = {
        .quantisation_bits = (uint8_t)e->quantisation_bits, .reason = (uint8_t)e->reason,
        .flags = (uint8_t)((e->has_tool_map ? KVC_TOOL_MAP : 0)
                           | (e->responses_visible ? KVC_RESPONSES_VISIBLE : 0)
                           | (e->thinking_visible ? KVC_THINKING_VISIBLE : 0)
                           | (e->has_title ? KVC_TITLE : 0)),
        .byte7 = (uint8_t)e->model_id, .byte20 = (uint8_t)e->profile, .tokens = (uint32_t)e->tokens,
        .hits = (uint32_t)e->hits, .context_tokens = (uint32_t)e->context_tokens,
        .text_bytes = (uint32_t)e->text.n, .created = e->created, .last_used = e->last_used,
        .payload_bytes = e->payload_bytes};
    kvc_encode(&h, fixed);
    struct kvc_sha1 sha;
    uint8_t digest[20];
    kvc_sha1_start(&sha);
    if (e->has_title) { /* KVC-NAME-3 */
        kvc_sha1_add(&sha, e->title.at, (size_t)e->title.n);
        kvc_sha1_add(&sha, fixed + 24, 8);
    } else { /* KVC-NAME-1 */
        kvc_sha1_add(&sha, e->text.at, (size_t)e->text.n);
    }
    kvc_sha1_end(&sha, digest);
    kvc_digest_name(digest, name);
    if (e->fixed_name) strcpy(name, "sysprompt.kv");
}

struct saver {
    int directory, fd; /* fd: -1 while there is no temp file */
    const struct kvc_entry *entry;
    struct kvc_report *report;
    uint64_t offset; /* in the entry: what has been written */
    char temp[KVC_TEMP_ROOM];
};

/* The first failure counts; those of the cleaning-up stand beside it (KVS-FAIL-3). */
static bool broke(struct saver *s, const char *operation, const char *clause, const char *message)
{
    s->report->failure = (struct kvc_problem){.operation = operation, .clause = clause,
                                              .error = clause == NULL ? errno : 0,
                                              .message = message, .offset = (int64_t)s->offset};
    return false;
}

/* Asked only at places where an interruption may take effect (KVS-FAIL-4). */
static bool interrupted(struct saver *s)
{
    if (s->entry->interrupted == NULL || !s->entry->interrupted()) return false;
    errno = EINTR;
    broke(s, "signal", NULL, "interrupted");
    return true;
}

bool kvc_temp_name(char name[KVC_TEMP_ROOM])
{
    uint8_t random[16];
    if (getentropy(random, sizeof random) != 0) return false;
    strcpy(name, ".kvc-save-");
    to_hex(name + 10, random, sizeof random);
    strcat(name, ".tmp");
    return true;
}

int kvc_sync(int fd)
{
#ifdef F_FULLFSYNC
    return fcntl(fd, F_FULLFSYNC);
#else
    return fsync(fd);
#endif
}

enum kvc_visible kvc_leads_to(int directory, const char *name, int fd)
{
    struct stat there, ours;
    if (fstat(fd, &ours) != 0) return KVC_VISIBLE_UNKNOWN;
    if (fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? KVC_NOT_VISIBLE : KVC_VISIBLE_UNKNOWN;
    return there.st_dev == ours.st_dev && there.st_ino == ours.st_ino ? KVC_VISIBLE : KVC_NOT_VISIBLE;
}

/* Removes the name while the lock is held, then closes; one failing does not keep the other from
 * being tried (KVS-FAIL-2). */
static bool drop_temp(struct saver *s)
{
    if (unlinkat(s->directory, s->temp, 0) != 0 && errno != ENOENT) {
        s->report->unlink_error = errno;
        strcpy(s->report->left, s->temp);
    }
    if (close(s->fd) != 0) s->report->close_error = errno;
    s->fd = -1;
    return s->report->unlink_error == 0 && s->report->close_error == 0;
}

/* 1: created and locked. 0: that name is lost, take another. -1: failed. */
static int try_temp(struct saver *s)
{
    if (!kvc_temp_name(s->temp)) return broke(s, "getentropy", NULL, NULL), -1;
    s->fd = openat(s->directory, s->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->fd < 0 && errno == EEXIST) return 0; /* somebody else's: neither opened nor removed */
    if (s->fd < 0) return broke(s, "open", NULL, NULL), -1;
    struct stat info;
    if (flock(s->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return broke(s, "flock", NULL, NULL), -1; /* KVS-TEMP-6 */
    } else if (fstat(s->fd, &info) != 0) {
        return broke(s, "fstat", NULL, NULL), -1;
    } else if (info.st_nlink > 0) {
        return 1;
    }
    /* A recovery took the file for an orphan (KVS-TEMP-3). Its name, if it still has it, is ours. */
    return drop_temp(s) ? 0 : (broke(s, "unlink", "KVS-TEMP-3", "could not give a temp file up"), -1);
}

static bool create_temp(struct saver *s)
{
    for (int tries = 0; tries < 100; tries++) {
        int made = try_temp(s);
        if (made != 0) return made > 0;
    }
    return broke(s, "open", "KVS-TEMP-3", "no temp file could be had in 100 tries");
}

static bool put(struct saver *s, const void *bytes, uint64_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        size_t piece = n < (1u << 20) ? (size_t)n : 1u << 20;
        if (interrupted(s)) return false;
        ssize_t got = write(s->fd, p, piece);
        if (got < 0) return broke(s, "write", NULL, NULL); /* EINTR too: see kvc.h, kvc_save */
        if (got == 0) return broke(s, "write", "KVS-SAVE-3", "accepted nothing and named no error");
        p += got, n -= (uint64_t)got, s->offset += (uint64_t)got; /* short: goes on with the rest */
    }
    return true;
}

static bool put_payload(struct saver *s)
{
    uint8_t buffer[65536];
    uint64_t left = s->entry->payload_bytes;
    for (;;) { /* asks for one byte more than predicted, to learn of it (KVS-DIRECT-2) */
        size_t room = left == 0 ? 1 : left < sizeof buffer ? (size_t)left : sizeof buffer;
        if (interrupted(s)) return false;
        ssize_t got = s->entry->payload(s->entry->source, buffer, room);
        if (got < 0) return broke(s, "payload", NULL, NULL);
        if (got == 0) break;
        if (left == 0) return broke(s, "payload", "KVS-DIRECT-2", "goes on after the predicted size");
        if (!put(s, buffer, (uint64_t)got)) return false;
        left -= (uint64_t)got;
    }
    return left == 0 || broke(s, "payload", "KVS-DIRECT-2", "ends before the predicted size");
}

static bool put_sections(struct saver *s)
{
    const struct kvc_entry *e = s->entry;
    uint8_t head[8 + KVC_ID_MAX];
    if (e->has_tool_map) {
        memcpy(head, "KTM\1", 4);
        kvc_put_u32(head + 4, (uint32_t)e->tool_count);
        if (!put(s, head, 8)) return false;
    }
    for (size_t i = 0; e->has_tool_map && i < e->tool_count; i++) {
        const struct kvc_tool *t = &e->tools[i];
        kvc_put_u32(head, (uint32_t)t->id.n);
        kvc_put_u32(head + 4, (uint32_t)t->block.n);
        memcpy(head + 8, t->id.at, (size_t)t->id.n);
        if (!put(s, head, 8 + t->id.n) || !put(s, t->block.at, t->block.n)) return false;
    }
    kvc_put_u32(head, (uint32_t)e->title.n);
    return !e->has_title || (put(s, head, 4) && put(s, e->title.at, e->title.n));
}

/* Learns of every deferred error of the writes (KVS-SAVE-5). */
static bool settle(struct saver *s)
{
    if (s->entry->durable && kvc_sync(s->fd) != 0) return broke(s, "fsync", NULL, NULL);
    int duplicate = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    if (duplicate < 0) return broke(s, "dup", NULL, NULL);
    return close(duplicate) == 0 || broke(s, "close", NULL, NULL); /* the lock stays with s->fd */
}

static bool publish(struct saver *s)
{
    struct kvc_report *r = s->report;
    if (interrupted(s)) return false; /* the last place before the end */
    if (renameat(s->directory, s->temp, s->directory, r->name) != 0) { /* KVS-SAVE-6 */
        broke(s, "rename", NULL, NULL);
        r->visible = kvc_leads_to(s->directory, r->name, s->fd);
        return false;
    }
    r->visible = KVC_VISIBLE;
    if (s->entry->durable && kvc_sync(s->directory) != 0) /* KVS-SAVE-7 */
        return broke(s, "fsync-directory", NULL, NULL);
    return true;
}

bool kvc_save(int directory, const struct kvc_entry *entry, struct kvc_report *report)
{
    struct saver s = {.directory = directory, .fd = -1, .entry = entry, .report = report};
    uint8_t fixed[KVC_FIXED];
    memset(report, 0, sizeof *report);
    if (refuse_entry(entry, &report->failure)) return false;
    encode_entry(entry, fixed, report->name);
    bool saved = create_temp(&s) && put(&s, fixed, sizeof fixed)
                 && put(&s, entry->text.at, entry->text.n) && put_payload(&s) && put_sections(&s)
                 && settle(&s) && publish(&s);
    if (s.fd >= 0 && !saved && report->visible != KVC_VISIBLE)
        drop_temp(&s);
    else if (s.fd >= 0 && close(s.fd) != 0) { /* gives the lock up, after publication (KVS-SAVE-8) */
        report->close_error = errno;
        if (saved) saved = broke(&s, "close", NULL, NULL); /* with the new content visible */
    }
    return saved;
}

/* ---- touch ---- */

/* Opens and locks the entry; starts over if the name leads elsewhere by then (KVS-TOUCH-1). */
static int open_locked(struct saver *s, const char *name, struct stat *info)
{
    for (int tries = 0; tries < 100; tries++) {
        int fd = open_entry(s->directory, name, O_RDWR, info);
        bool other = fd < 0 ? is_other_kind(s->directory, name) : !S_ISREG(info->st_mode);
        if (fd < 0 && !other) return broke(s, "open", NULL, NULL), -1;
        if (other) {
            refuse(&s->report->failure, true, "KVC-NAME-7", "name", "no regular file");
            s->report->failure.category = "identity-mismatch";
        } else if (flock(fd, LOCK_EX) != 0 || fstat(fd, info) != 0) {
            broke(s, "flock", NULL, NULL);
        } else if (kvc_leads_to(s->directory, name, fd) == KVC_VISIBLE) {
            return fd;
        } else {
            close(fd);
            continue;
        }
        if (fd >= 0) close(fd);
        return -1;
    }
    return broke(s, "open", "KVS-TOUCH-1", "the entry was replaced 100 times"), -1;
}

static bool touch_locked(struct saver *s, const struct kvc_touching *how, struct kvc_file *f)
{
    struct kvc_reading reading = {.profile = how->profile, .text_limit = how->text_limit};
    struct check c = {.how = &reading, .file = f, .problems = &s->report->failure};
    if (!check_fixed(&c)) return false; /* KVS-TOUCH-2 */
    uint64_t room = UINT32_MAX - (uint64_t)f->header.hits; /* saturates (KVC-HEADER-11) */
    s->report->hits = f->header.hits + (uint32_t)(how->hits_added < room ? how->hits_added : room);
    kvc_put_u32(f->fixed + 12, s->report->hits);
    put_le(f->fixed + 32, how->last_used, 8);
    for (size_t done = 12; done < 40;) { /* one write: bytes 12 to 39, the others as they were read */
        ssize_t got = pwrite(f->fd, f->fixed + done, 40 - done, (off_t)done);
        s->offset = done;
        if (got < 0) return broke(s, "write", NULL, NULL);
        if (got == 0) return broke(s, "write", "KVS-SAVE-3", "accepted nothing and named no error");
        s->report->visible = KVC_VISIBLE_UNKNOWN; /* a part, which KVS-ATOM-1 excludes */
        done += (size_t)got;
    }
    s->report->visible = KVC_VISIBLE;
    return !how->durable || kvc_sync(f->fd) == 0 || broke(s, "fsync", NULL, NULL);
}

bool kvc_touch(int directory, const char *name, const struct kvc_touching *how,
               struct kvc_report *report)
{
    struct kvc_file file;
    struct saver s = {.directory = directory, .report = report};
    struct stat info;
    memset(report, 0, sizeof *report);
    memset(&file, 0, sizeof file);
    if (!kvc_is_entry_name(name)) {
        refuse(&report->failure, true, "KVC-NAME-5", "name", "is no name of an entry");
        report->failure.category = "identity-mismatch";
        return false;
    }
    strcpy(report->name, name);
    file.fd = open_locked(&s, name, &info);
    if (file.fd < 0) return false;
    file.size = (uint64_t)info.st_size;
    bool touched = touch_locked(&s, how, &file);
    if (close(file.fd) != 0) { /* KVS-TOUCH-4 */
        report->close_error = errno;
        if (touched) touched = broke(&s, "close", NULL, NULL);
    }
    return touched;
}

/* ---- recovery ---- */

static bool is_temp_name(const char *name) /* KVS-TEMP-1 */
{
    size_t prefix = strncmp(name, ".kvc-save-", 10) == 0    ? 10
                    : strncmp(name, ".kvc-stage-", 11) == 0 ? 11
                                                            : 0;
    return prefix > 0 && strspn(name + prefix, "0123456789abcdef") == 32
           && strcmp(name + prefix + 32, ".tmp") == 0;
}

static bool is_foreign_temp(const char *name) /* KVS-RECOVER-5 */
{
    const char *kv = strstr(name, ".kv.tmp");
    char entry[KVC_NAME_ROOM];
    if (kv == NULL || (size_t)(kv - name) + 3 >= sizeof entry) return false;
    snprintf(entry, sizeof entry, "%.*s", (int)(kv - name) + 3, name);
    return kvc_is_entry_name(entry);
}

/* Says what became of one temp file; NULL if it has gone meanwhile (KVS-RECOVER-2). */
static const char *recover_one(int directory, const char *name)
{
    struct stat info;
    /* For writing, since flock over NFS is a lock that an exclusive one needs that for; else for reading. */
    int fd = open_entry(directory, name, O_RDWR, &info);
    if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
        fd = open_entry(directory, name, O_RDONLY, &info);
    if (fd < 0 && errno == ENOENT) return NULL;
    if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO)) return "not-regular";
    if (fd < 0) return "failed";
    const char *what = "failed";
    int error = 0;
    if (!S_ISREG(info.st_mode))
        what = "not-regular"; /* KVS-RECOVER-4 */
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        what = (error = errno) == EWOULDBLOCK ? "live" : "failed";
    else if (kvc_leads_to(directory, name, fd) != KVC_VISIBLE)
        what = NULL;
    else if (unlinkat(directory, name, 0) != 0)
        error = errno;
    else
        what = "removed";
    close(fd); /* nothing was written */
    errno = error;
    return what;
}

bool kvc_recover(int directory, kvc_say *say, void *to)
{
    bool good = true;
    /* A description of its own: a duplicate would share the position of the directory. */
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (list == NULL) {
        int error = errno;
        if (fd >= 0) close(fd);
        say(to, ".", "failed", error);
        return false;
    }
    for (;;) {
        errno = 0;
        const struct dirent *item = readdir(list);
        if (item == NULL) break;
        const char *what = is_foreign_temp(item->d_name) ? "foreign" : NULL;
        if (is_temp_name(item->d_name)) what = recover_one(directory, item->d_name);
        if (what == NULL) continue;
        bool bad = strcmp(what, "failed") == 0;
        say(to, item->d_name, what, bad ? errno : 0);
        good = good && !bad;
    }
    if (errno != 0) {
        say(to, ".", "failed", errno);
        good = false;
    }
    closedir(list);
    return good;
}
