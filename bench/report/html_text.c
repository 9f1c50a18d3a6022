/* Text into HTML. */
#include "bench/report/html_parts.h"

#include "bench/model/utf8.h"
#include "bench/report/text.h"
#include "core/base/cleanup.h"

#include <stdarg.h>

void html_text(FILE *to, const char *s)
{
        size_t bytes;

        for (; s && *s; s += bytes) {
                uint32_t c = utf8_point(s, &bytes);

                if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
                        fprintf(to, "&#%u;", c);
                else if (text_is_control(c) || c == 0xfffd)
                        fputs("&#xfffd;", to);
                else
                        fwrite(s, 1, bytes, to);
        }
}

void html_name(FILE *to, const char *s)
{
        fputs("<bdi>", to);
        html_text(to, s);
        fputs("</bdi>", to);
}

void html_label(FILE *to, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list              args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        fputs(" aria-label=\"", to);
        html_text(to, text);
        fputc('"', to);
}
