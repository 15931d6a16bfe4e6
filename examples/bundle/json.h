/* A JSON value, as small as the manifest of a bundle needs it. */
#ifndef OPENANE_JSON_H
#define OPENANE_JSON_H

#include <stddef.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT };

struct json {
    enum json_kind kind;
    double number;        /* of a number or boolean */
    char *text;           /* of a text */
    char *name;           /* in an object */
    struct json *first;   /* of a list or object */
    struct json *next;    /* in a list or object */
};

/* NULL when the text is not JSON, is nested more than 64 deep, or memory is short. */
struct json *json_parse(const char *text, size_t bytes);
void json_free(struct json *value);
/* A member of an object by name, NULL where there is none or `value` is NULL or no object. */
struct json *json_get(const struct json *value, const char *name);
/* A text member; NULL where it is none. */
const char *json_text(const struct json *value, const char *name);

#endif
