/* formats/json_span.c: takes values off a text, members and elements of those, and the few kinds of scalars a snapshot has. */
#include "formats/json_span.h"

#include "formats/json_skip.h"

#include <errno.h>
#include <string.h>

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *p, const char *end)
{
        while (p < end && is_blank(*p))
                p++;
        return p;
}

/* p is after the opening quote. Returns after the closing one, or NULL. */
static const char *skip_string(const char *p, const char *end)
{
        while (p < end && *p != '"') {
                if (*p == '\\' && ++p == end)
                        return NULL;
                p++;
        }
        return p < end ? p + 1 : NULL;
}

/* A number, true, false or null: up to what may follow a value. */
static const char *skip_scalar(const char *p, const char *end)
{
        const char *start = p;

        while (p < end && ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '+' || *p == '.' ||
                           *p == 'E'))
                p++;
        return p > start ? p : NULL;
}

static const char *skip_value(const char *p, const char *end)
{
        if (p == end)
                return NULL;
        switch (*p) {
        case '"':
                return skip_string(p + 1, end);
        case '{':
        case '[':
                return json_skip_container(p, end);
        default:
                return skip_scalar(p, end);
        }
}

static void advance(struct json_span *text, const char *to)
{
        text->len -= (size_t)(to - text->p);
        text->p = to;
}

static void skip_blanks_of(struct json_span *text)
{
        advance(text, skip_blanks(text->p, text->p + text->len));
}

bool json_take(struct json_span *text, struct json_span *ret_value)
{
        const char *after;

        skip_blanks_of(text);
        after = skip_value(text->p, text->p + text->len);
        if (!after)
                return false;
        *ret_value = (struct json_span){ text->p, (size_t)(after - text->p) };
        advance(text, after);
        skip_blanks_of(text);
        return true;
}

bool json_walk_begin(struct json_span value, char open, struct json_walk *ret)
{
        if (value.len < 2 || value.p[0] != open)
                return false;
        *ret = (struct json_walk){ .rest = { value.p + 1, value.len - 1 }, .close = open == '{' ? '}' : ']' };
        skip_blanks_of(&ret->rest);
        return true;
}

/* Takes c and the blanks after it. */
static bool take_byte(struct json_span *text, char c)
{
        if (!text->len || *text->p != c)
                return false;
        advance(text, text->p + 1);
        skip_blanks_of(text);
        return true;
}

static bool take_name(struct json_span *text, struct json_span *ret_name)
{
        struct json_span name;

        return json_take(text, &name) && json_string(name, ret_name) && take_byte(text, ':');
}

int json_walk_next(struct json_walk *w, struct json_span *ret_name, struct json_span *ret_value)
{
        if (w->rest.len && *w->rest.p == w->close)
                return 0;
        if (w->begun && !take_byte(&w->rest, ','))
                return -EBADMSG;
        w->begun = true;
        if (w->close == '}' && !take_name(&w->rest, ret_name))
                return -EBADMSG;
        return json_take(&w->rest, ret_value) ? 1 : -EBADMSG;
}

bool json_u64(struct json_span value, uint64_t *ret)
{
        uint64_t v = 0;

        if (!value.len || (value.len > 1 && value.p[0] == '0'))
                return false;
        for (size_t i = 0; i < value.len; i++) {
                char c = value.p[i];

                if (c < '0' || c > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(c - '0'), &v))
                        return false;
        }
        *ret = v;
        return true;
}

bool json_bool(struct json_span value, bool *ret)
{
        bool yes = json_span_is(value, "true");

        if (!yes && !json_span_is(value, "false"))
                return false;
        *ret = yes;
        return true;
}

bool json_string(struct json_span value, struct json_span *ret_text)
{
        if (value.len < 2 || value.p[0] != '"' || memchr(value.p, '\\', value.len))
                return false;
        *ret_text = (struct json_span){ value.p + 1, value.len - 2 };
        return true;
}

bool json_bytes(struct json_span value, uint8_t *ret, size_t nr)
{
        struct json_walk w;
        struct json_span element;
        uint64_t         v;
        size_t           i = 0;
        int              r;

        if (!json_walk_begin(value, '[', &w))
                return false;
        while ((r = json_walk_next(&w, NULL, &element)) > 0) {
                if (i == nr || !json_u64(element, &v) || v > UINT8_MAX)
                        return false;
                ret[i++] = (uint8_t)v;
        }
        return r == 0 && i == nr;
}

bool json_span_is(struct json_span text, const char *s)
{
        return strlen(s) == text.len && memcmp(text.p, s, text.len) == 0;
}
