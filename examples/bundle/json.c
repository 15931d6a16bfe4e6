#include "json.h"

#include <stdlib.h>
#include <string.h>

struct parser { const char *at, *end; int depth; };

static void skip(struct parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at))
        p->at++;
}

static int take(struct parser *p, char wanted)
{
    skip(p);
    if (p->at >= p->end || *p->at != wanted)
        return 0;
    p->at++;
    return 1;
}

static int hex4(struct parser *p, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        if (p->at >= p->end)
            return 0;
        char c = *p->at;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return 0;
        *code = *code << 4 | (unsigned)digit;
    }
    return 1;
}

static char *utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 63));
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

static char *text(struct parser *p)
{
    if (!take(p, '"'))
        return NULL;
    const char *close = p->at;
    while (close < p->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= p->end)
        return NULL;
    char *made = malloc((size_t)(close - p->at) + 1), *out = made;
    while (made && p->at < close) {
        if (*p->at != '\\') {
            *out++ = *p->at++;
            continue;
        }
        char c = p->at[1];
        p->at += 2;
        if (c == 'u') {
            unsigned code, low;
            if (!hex4(p, &code))
                goto bad;
            if (code >= 0xd800 && code < 0xdc00 && p->end - p->at > 6 && p->at[0] == '\\' && p->at[1] == 'u') {
                p->at += 2;
                if (!hex4(p, &low))
                    goto bad;
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
            out = utf8(out, code);
        } else {
            const char *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t", *found = strchr(from, c);
            if (!c || !found)
                goto bad;
            *out++ = to[found - from];
        }
    }
    if (!made)
        return NULL;
    *out = 0;
    p->at = close + 1;
    return made;
bad:
    free(made);
    return NULL;
}

static struct json *value(struct parser *p);

static int members(struct parser *p, struct json *made, char close)
{
    struct json **last = &made->first;
    if (take(p, close))
        return 1;
    do {
        char *name = NULL;
        if (close == '}' && (!(name = text(p)) || !take(p, ':'))) {
            free(name);
            return 0;
        }
        if (!(*last = value(p))) {
            free(name);
            return 0;
        }
        (*last)->name = name;
        last = &(*last)->next;
    } while (take(p, ','));
    return take(p, close);
}

static int word(struct parser *p, const char *wanted)
{
    size_t size = strlen(wanted);
    if ((size_t)(p->end - p->at) < size || memcmp(p->at, wanted, size))
        return 0;
    p->at += size;
    return 1;
}

static struct json *value(struct parser *p)
{
    struct json *made = calloc(1, sizeof *made);
    int good = 0;
    skip(p);
    if (!made || p->at >= p->end || p->depth >= 64) {
        free(made);
        return NULL;
    }
    p->depth++;
    if (*p->at == '{' || *p->at == '[') {
        char close = *p->at == '{' ? '}' : ']';
        made->kind = close == '}' ? JSON_OBJECT : JSON_LIST;
        p->at++;
        good = members(p, made, close);
    } else if (*p->at == '"') {
        made->kind = JSON_TEXT;
        good = (made->text = text(p)) != NULL;
    } else if (word(p, "null")) {
        good = 1;
    } else if (word(p, "true") || word(p, "false")) {
        made->kind = JSON_BOOL;
        made->number = p->at[-4] != 'a'; /* tr-u-e or f-alse */
        good = 1;
    } else {
        char number[64], *end;
        size_t size = strspn(p->at, "+-.0123456789eE");
        made->kind = JSON_NUMBER;
        if (size && size < sizeof number) {
            memcpy(number, p->at, size);
            number[size] = 0;
            made->number = strtod(number, &end);
            good = *end == 0;
            p->at += size;
        }
    }
    p->depth--;
    if (!good) {
        json_free(made);
        return NULL;
    }
    return made;
}

struct json *json_parse(const char *source, size_t bytes)
{
    char *copy = malloc(bytes + 1); /* ends with 0, so that strspn does */
    if (!copy)
        return NULL;
    memcpy(copy, source, bytes);
    copy[bytes] = 0;
    struct parser parser = {copy, copy + bytes, 0};
    struct json *made = value(&parser);
    skip(&parser);
    if (made && parser.at != parser.end) {
        json_free(made);
        made = NULL;
    }
    free(copy);
    return made;
}

void json_free(struct json *made)
{
    while (made) {
        struct json *next = made->next;
        json_free(made->first);
        free(made->text);
        free(made->name);
        free(made);
        made = next;
    }
}

struct json *json_get(const struct json *object, const char *name)
{
    if (!object || object->kind != JSON_OBJECT)
        return NULL;
    for (struct json *each = object->first; each; each = each->next)
        if (strcmp(each->name, name) == 0)
            return each;
    return NULL;
}

const char *json_text(const struct json *object, const char *name)
{
    struct json *found = json_get(object, name);
    return found && found->kind == JSON_TEXT ? found->text : NULL;
}
