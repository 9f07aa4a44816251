/* Reads JSON; see json.h. */
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r\n", *at) != NULL) at++;
    return at;
}

/* Behind a string that starts here; NULL if there is none. */
static const char *skip_string(const char *at, const char *end)
{
    if (at == end || *at != '"') return NULL;
    for (at++; at < end && *at != '"'; at++) {
        if (*at < ' ' || *at > '~') return NULL; /* the runner escapes what is not printable ASCII */
        if (*at == '\\' && (++at == end || strchr("\"\\/", *at) == NULL)) return NULL;
    }
    return at == end ? NULL : at + 1;
}

static const char *skip_value(const char *at, const char *end, int depth);

/* Behind an object or an array, whose elements have keys or not. */
static const char *skip_container(const char *at, const char *end, int depth)
{
    char close = *at == '{' ? '}' : ']';
    bool first = true;
    if (depth == DEPTH_MAX) return NULL;
    for (at = skip_space(at + 1, end);; first = false) {
        if (at == end) return NULL;
        if (*at == close) return first ? at + 1 : NULL;
        if (close == '}') {
            if ((at = skip_string(at, end)) == NULL || (at = skip_space(at, end)) == end || *at++ != ':')
                return NULL;
        }
        if ((at = skip_value(at, end, depth + 1)) == NULL || (at = skip_space(at, end)) == end) return NULL;
        if (*at == close) return at + 1;
        if (*at++ != ',') return NULL;
        at = skip_space(at, end);
        if (at == end || *at == close) return NULL;
    }
}

static const char *skip_value(const char *at, const char *end, int depth)
{
    static const char *const words[] = {"null", "true", "false"};
    at = skip_space(at, end);
    if (at == end) return NULL;
    if (*at == '"') return skip_string(at, end);
    if (*at == '{' || *at == '[') return skip_container(at, end, depth);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(end - at) >= n && memcmp(at, words[i], n) == 0) return at + n;
    }
    const char *start = at;
    while (at < end && strchr("+-.0123456789eE", *at) != NULL) at++;
    return at == start ? NULL : at;
}

bool json_parse(const char *text, size_t n, struct json *value)
{
    const char *end = text + n;
    if (memchr(text, '\0', n) != NULL) return false; /* strchr above would find it everywhere */
    const char *behind = skip_value(text, end, 0);
    if (behind == NULL || skip_space(behind, end) != end) return false;
    *value = (struct json){skip_space(text, end), behind};
    return true;
}

bool json_next(struct json *left, struct json *key, struct json *value)
{
    const char *at = left->at, *end = left->end;
    if (at == end || strchr("{[,", *at) == NULL) return false;
    at = skip_space(at + 1, end);
    if (at == end || *at == '}' || *at == ']') return false;
    if (key != NULL) {
        const char *behind = skip_string(at, end);
        if (behind == NULL) return false;
        *key = (struct json){at, behind};
        at = skip_space(skip_space(behind, end) + 1, end); /* the colon, which is there in a parsed text */
    }
    const char *behind = skip_value(at, end, 0);
    if (behind == NULL) return false;
    *value = (struct json){skip_space(at, end), behind};
    left->at = skip_space(behind, end);
    return true;
}

bool json_member(struct json object, const char *key, struct json *member)
{
    struct json name;
    if (object.at == object.end || *object.at != '{') return false;
    while (json_next(&object, &name, member))
        if (json_is(name, key)) return true;
    return false;
}

bool json_is_null(struct json value) { return *value.at == 'n'; }

bool json_is(struct json string, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(string.end - string.at) == n + 2 && *string.at == '"' && memcmp(string.at + 1, text, n) == 0;
}

bool json_number(struct json value, uint64_t *number)
{
    char digits[24];
    bool quoted = *value.at == '"';
    size_t n = (size_t)(value.end - value.at) - (quoted ? 2 : 0);
    if (n == 0 || n >= sizeof digits) return false;
    memcpy(digits, value.at + quoted, n);
    digits[n] = '\0';
    if (strspn(digits, "0123456789") != n) return false;
    errno = 0;
    *number = strtoull(digits, NULL, 10);
    return errno == 0;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *found = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return c == '\0' || found == NULL ? -1 : (int)(found - digits);
}

uint8_t *json_bytes(struct json string, size_t *n)
{
    if (*string.at != '"') return NULL;
    const char *end = string.end - 1;
    uint8_t *bytes = malloc((size_t)(string.end - string.at)); /* more than there can be, and never 0 */
    *n = 0;
    for (const char *at = string.at + 1; bytes != NULL && at < end; at++) {
        if (*at == '\\') at++;
        if (*at != '%') {
            bytes[(*n)++] = (uint8_t)*at;
            continue;
        }
        int high = end - at < 3 ? -1 : hex_digit(at[1]), low = high < 0 ? -1 : hex_digit(at[2]);
        if (low < 0) {
            free(bytes);
            return NULL;
        }
        bytes[(*n)++] = (uint8_t)(high * 16 + low);
        at += 2;
    }
    return bytes;
}
