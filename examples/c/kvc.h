/* KVC files: a reader, a strict writer (direct strategy), touch and recovery.
 *
 * The file is specified in spec/kvc.md (clauses KVC-*), saving in spec/saving.md (clauses KVS-*).
 * Nothing here allocates memory, so no length of a hostile file can make it (KVC-LIMIT-1, KVC-LIMIT-4).
 */
#ifndef KVC_H
#define KVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    KVC_FIXED = 52,         /* header and text byte count */
    KVC_NAME_ROOM = 44,     /* 40 digits, ".kv", terminator */
    KVC_TEMP_ROOM = 48,     /* ".kvc-save-", 32 digits, ".tmp", terminator; rounded up */
    KVC_TOOLS_MAX = 400000, /* KVC-TOOLMAP-3 */
    KVC_ID_MAX = 256,       /* KVC-TOOLMAP-4 */
    KVC_TITLE_MAX = 65536,  /* KVC-TITLE-3 */
    KVC_PROBLEMS_MAX = 8    /* more than a verifier can find in one file */
};
#define KVC_BLOCK_MAX UINT32_C(536870912)  /* KVC-TOOLMAP-5 */
#define KVC_TEXT_LIMIT UINT32_C(268435456) /* KVC-LIMIT-3 */

enum { /* flag bits, KVC-HEADER-5 */
    KVC_TOOL_MAP = 1,
    KVC_RESPONSES_VISIBLE = 2,
    KVC_THINKING_VISIBLE = 4,
    KVC_TITLE = 8
};

/* A profile is called by its byte 20 (chapter 6). */
enum kvc_profile { KVC_AUTO = -1, KVC_ABI0 = 0, KVC_ABI2 = 2, KVC_ABI3 = 3 };

/* What went wrong: a rejection (category), a refusal or broken rule (clause only), or an operation of
 * the system that failed (operation and error), which has no category (kvc.md, 1.3). */
struct kvc_problem {
    const char *category;
    const char *clause;
    const char *operation;
    const char *message;
    int error;
    bool report_only; /* a verifier says it, the entry stays usable */
    int64_t offset;   /* -1: none */
    char field[64];
};

/* ---- SHA-1 (FIPS 180-4) and the fixed part ---- */

struct kvc_sha1 {
    uint32_t state[5];
    uint64_t bytes;
    uint8_t block[64];
};
void kvc_sha1_start(struct kvc_sha1 *sha);
void kvc_sha1_add(struct kvc_sha1 *sha, const void *bytes, size_t n);
void kvc_sha1_end(struct kvc_sha1 *sha, uint8_t digest[20]);

struct kvc_header {
    uint8_t quantisation_bits, reason, flags, byte7, byte20;
    uint32_t tokens, hits, context_tokens, text_bytes;
    uint64_t created, last_used, payload_bytes;
};
void kvc_put_u32(uint8_t *at, uint32_t value);
void kvc_encode(const struct kvc_header *header, uint8_t out[KVC_FIXED]);
void kvc_decode(const uint8_t in[KVC_FIXED], struct kvc_header *header);
void kvc_digest_name(const uint8_t digest[20], char name[KVC_NAME_ROOM]);
bool kvc_is_digest_name(const char *name);
bool kvc_is_entry_name(const char *name);

/* ---- reading ---- */

struct kvc_reading {
    enum kvc_profile profile; /* KVC_AUTO unless told (KVC-PROFILE-2) */
    uint64_t text_limit;      /* KVC-LIMIT-3 */
    const char *name;         /* tested, whatever its form. NULL: the last part of the path, which is
                               * tested if it is an entry's; else the identity is unknown (KVC-NAME-1) */
    bool verify;              /* collect everything, instead of stopping at the first problem */
};

struct kvc_file {
    int fd;
    uint64_t size;
    uint8_t fixed[KVC_FIXED];
    struct kvc_header header;
    int profile;         /* the profile in force; KVC_AUTO where none applies */
    uint64_t payload_at; /* offsets */
    uint64_t sections_at;
    uint64_t end;        /* of the last section; unknown (sections_at) where map_damaged */
    bool map_damaged;    /* the entry is usable, its tool map only up to the damage (KVC-TOOLMAP-6) */
    bool text_hashed;
    bool identity_checked; /* step 13 was taken; if not, nobody may use the content (KVC-NAME-1) */
    uint8_t text_sha1[20];
    uint32_t title_bytes;
    uint8_t title[KVC_TITLE_MAX];
};

/* Checks a file in the order of kvc.md 1.4 and leaves it open. Returns the number of problems. */
size_t kvc_read(const char *path, const struct kvc_reading *how, struct kvc_file *file,
                struct kvc_problem problems[KVC_PROBLEMS_MAX]);
/* Hashes n bytes at an offset. 1: done. 0: the file ends before. -1: errno. */
int kvc_hash(struct kvc_file *file, uint64_t at, uint64_t n, uint8_t digest[20]);
/* Reads n bytes at an offset; fewer only where the file ends. -1: errno. A file that has become
 * shorter than `size` says is taken as cut off: `size` is lowered (KVC-LIMIT-1). */
ssize_t kvc_read_at(struct kvc_file *file, void *to, size_t n, uint64_t at);

/* One pass over a tool map; each entry is checked before the next is looked at (KVC-LIMIT-4). */
struct kvc_map {
    uint32_t count, next;
    uint64_t at; /* of the next entry; at last the end of the map */
    uint32_t id_bytes, block_bytes;
    uint64_t id_at, block_at;
    bool damaged; /* then `damage` says how */
    struct kvc_problem damage;
};
bool kvc_map_start(struct kvc_file *file, struct kvc_map *map);
bool kvc_map_next(struct kvc_file *file, struct kvc_map *map); /* false: end or damage */

/* ---- writing ---- */

struct kvc_bytes {
    const void *at;
    uint64_t n;
};
struct kvc_tool {
    struct kvc_bytes id, block;
};

/* An entry to be saved. Numbers are wider than their fields: a value that does not fit is refused,
 * never cut (KVC-WRITER-5). */
struct kvc_entry {
    enum kvc_profile profile;
    uint64_t quantisation_bits, reason, model_id, tokens, hits, context_tokens, created, last_used;
    bool responses_visible, thinking_visible;
    struct kvc_bytes text;
    uint64_t text_limit;
    uint64_t payload_bytes; /* predicted (KVS-DIRECT-1) */
    /* Gives up to `room` bytes of the payload; 0 at its end, -1 and errno if it fails. */
    ssize_t (*payload)(void *source, void *to, size_t room);
    void *source;
    bool has_tool_map;
    const struct kvc_tool *tools;
    size_t tool_count;
    bool has_title;
    struct kvc_bytes title;
    bool fixed_name;             /* store as sysprompt.kv (KVC-NAME-4) */
    bool durable;                /* KVS-DURABLE-3 */
    bool (*interrupted)(void);   /* asked where an interruption may take effect (KVS-FAIL-4); or NULL */
};

enum kvc_visible { KVC_NOT_VISIBLE, KVC_VISIBLE, KVC_VISIBLE_UNKNOWN };

struct kvc_report {
    struct kvc_problem failure;
    enum kvc_visible visible; /* is the new content under the name now? (KVS-FAIL-1) */
    char name[KVC_NAME_ROOM];
    char left[KVC_TEMP_ROOM]; /* a temp file that could not be removed, or "" (KVS-FAIL-3) */
    int unlink_error, close_error;
    uint32_t hits;            /* of touch: what is stored now */
};

/* All return true for success; a failure is in the report. Signals that a program turns into
 * `interrupted` should be blocked during kvc_save, so that they interrupt no call (KVS-FAIL-4). */
bool kvc_save(int directory, const struct kvc_entry *entry, struct kvc_report *report);

struct kvc_touching {
    uint64_t hits_added, last_used;
    enum kvc_profile profile;
    uint64_t text_limit;
    bool durable;
};
bool kvc_touch(int directory, const char *name, const struct kvc_touching *how,
               struct kvc_report *report);

/* What a recovery did with a name: "removed", "live", "not-regular", "foreign", "failed". */
typedef void kvc_say(void *to, const char *name, const char *what, int error);
bool kvc_recover(int directory, kvc_say *say, void *to);

/* ---- single steps of the protocol ---- */

bool kvc_temp_name(char name[KVC_TEMP_ROOM]); /* KVS-TEMP-1; false: no random bytes */
int kvc_sync(int fd);                         /* KVS-DURABLE-1 */
enum kvc_visible kvc_leads_to(int directory, const char *name, int fd); /* is the name that file? */

#endif
