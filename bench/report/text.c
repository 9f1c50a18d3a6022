/* Text for terminals: what could move the cursor or set a title is taken out, and columns are counted, not bytes. */
#include "bench/report/text.h"

#include "bench/model/utf8.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
        if (!p) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
        return p;
}

char *text_format(const char *format, ...)
{
        char   *s = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&s, format, args) < 0)
                need(NULL);
        va_end(args);
        return s;
}

bool text_is_control(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

char *text_clean(const char *s, const struct bench_look *look)
{
        char  *clean = need(malloc(s ? strlen(s) + 1 : 1)), *to = clean;
        size_t bytes;

        for (; s && *s; s += bytes) {
                uint32_t c = utf8_point(s, &bytes);

                if (text_is_control(c) || c == 0xfffd || (c >= 0x80 && !look->utf8)) {
                        *to++ = '?';
                } else {
                        memcpy(to, s, bytes);
                        to += bytes;
                }
        }
        *to = 0;
        return clean;
}

/* Combining marks take no column, East Asian wide characters and emoji two (the large blocks of Unicode's EastAsianWidth). */
static size_t columns_of(uint32_t c)
{
        static const uint32_t wide[][2] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60},
                                           {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

        if (c >= 0x300 && c <= 0x36f)
                return 0;
        for (size_t i = 0; i < ARRAY_LEN(wide); i++)
                if (c >= wide[i][0] && c <= wide[i][1])
                        return 2;
        return 1;
}

size_t text_width(const char *s)
{
        size_t width = 0, bytes;

        for (; *s; s += bytes)
                width += columns_of(utf8_point(s, &bytes));
        return width;
}

char *text_fit(const char *s, size_t width, const struct bench_look *look)
{
        size_t used = 0, bytes, at = 0;

        if (text_width(s) <= width)
                return need(strdup(s));
        while (s[at]) {
                size_t w = columns_of(utf8_point(s + at, &bytes));

                if (used + w + 1 > width)
                        break;
                used += w;
                at += bytes;
        }
        return text_format("%.*s%s", (int)at, s, width == 0 ? "" : look->utf8 ? "…" : "~");
}

void text_wrap(FILE *to, const char *s, size_t indent, size_t printed, const struct bench_look *look)
{
        _cleanup_free_ char *clean = text_clean(s, look);
        size_t               column = printed;
        bool                 first = true;

        for (char *save = NULL, *word = strtok_r(clean, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
                size_t width = text_width(word);

                if (!first && column + 1 + width > look->columns) {
                        fprintf(to, "\n%*s", (int)indent, "");
                        column = indent;
                        first = true;
                }
                while (first && column + width > look->columns) { /* a word longer than a line, as a path can be */
                        _cleanup_free_ char *part = NULL;
                        size_t               bytes, used = 0, at = 0;

                        while (column + used + 2 <= look->columns) {
                                used += columns_of(utf8_point(word + at, &bytes));
                                at += bytes;
                        }
                        if (at == 0)
                                break;
                        part = text_format("%.*s", (int)at, word);
                        fprintf(to, "%s\n%*s", part, (int)indent, "");
                        word += at;
                        column = indent;
                        width = text_width(word);
                }
                fprintf(to, "%s%s", first ? "" : " ", word);
                column += width + !first;
                first = false;
        }
        fputc('\n', to);
}
