/* Reads the JSON that a conformance runner writes (spec/conformance.md, chapter 4): objects, arrays, numbers, and
 * strings of printable ASCII. Nothing is copied but strings; a value is a piece of the text that it stands in. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    const char *at, *end;
};

/* Whether the text is one value and nothing behind it; the other functions want a value of such a text. */
bool json_parse(const char *text, size_t n, struct json *value);
/* The member of an object; false where it has none of this key, or is no object. */
bool json_member(struct json object, const char *key, struct json *member);
/* Takes the next member or element from what is left of an object or array; false at its end.
 * `left` is at first the object or array itself. `key` is NULL for arrays. */
bool json_next(struct json *left, struct json *key, struct json *value);
bool json_is_null(struct json value);
/* Whether a string, as it stands in the text, is this one. */
bool json_is(struct json string, const char *text);
/* A number, or a string of digits. False if it is neither, or over 2^64-1. */
bool json_number(struct json value, uint64_t *number);
/* The bytes that a string in the escaped form stands for (chapter 2), for free(). NULL: not of that form. */
uint8_t *json_bytes(struct json string, size_t *n);

#endif
