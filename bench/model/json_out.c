/* A comma before each member but the first, a line for each but within an inline bracket. */
#include "bench/model/json_out.h"

#include "bench/model/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

static void put_string(FILE *to, const char *s)
{
        size_t bytes;

        fputc('"', to);
        for (; *s; s += bytes) {
                uint32_t c = utf8_point(s, &bytes);

                if (c == '"' || c == '\\')
                        fprintf(to, "\\%c", (int)c);
                else if (c < 0x20 || c == 0x7f || c == 0xfffd)
                        fprintf(to, "\\u%04x", c);
                else
                        fwrite(s, 1, bytes, to);
        }
        fputc('"', to);
}

static void begin(struct json_out *o, const char *key)
{
        bool one_line = o->inline_depth && o->depth >= o->inline_depth;

        if (o->more)
                fputs(one_line ? ", " : ",", o->to);
        if (!one_line && o->depth > 0)
                fprintf(o->to, "\n%*s", (int)o->depth, "");
        if (key) {
                put_string(o->to, key);
                fputs(": ", o->to);
        }
        o->more = true;
}

void jout_open(struct json_out *o, const char *key, char bracket)
{
        begin(o, key);
        fputc(bracket, o->to);
        o->depth++;
        o->more = false;
}

void jout_open_inline(struct json_out *o, const char *key, char bracket)
{
        jout_open(o, key, bracket);
        if (!o->inline_depth)
                o->inline_depth = o->depth;
}

void jout_close(struct json_out *o, char bracket)
{
        bool one_line = o->inline_depth && o->depth >= o->inline_depth;

        if (o->depth == o->inline_depth)
                o->inline_depth = 0;
        o->depth--;
        if (o->more && !one_line)
                fprintf(o->to, "\n%*s", (int)o->depth, "");
        fputc(bracket, o->to);
        o->more = true;
        if (o->depth == 0)
                fputc('\n', o->to);
}

void jout_str(struct json_out *o, const char *key, const char *v)
{
        begin(o, key);
        put_string(o->to, v);
}

void jout_str_if(struct json_out *o, const char *key, const char *v)
{
        if (v)
                jout_str(o, key, v);
}

void jout_num(struct json_out *o, const char *key, double v)
{
        char buf[40];

        for (int digits = 6; digits <= 17; digits++) {
                snprintf(buf, sizeof(buf), "%.*g", digits, v);
                if (strtod(buf, NULL) == v)
                        break;
        }
        begin(o, key);
        fputs(buf, o->to);
}

void jout_pair(struct json_out *o, const char *key, double low, double high)
{
        jout_open_inline(o, key, '[');
        jout_num(o, NULL, low);
        jout_num(o, NULL, high);
        jout_close(o, ']');
}

void jout_u64(struct json_out *o, const char *key, uint64_t v)
{
        begin(o, key);
        fprintf(o->to, "%" PRIu64, v);
}

void jout_i64(struct json_out *o, const char *key, int64_t v)
{
        begin(o, key);
        fprintf(o->to, "%" PRId64, v);
}

void jout_bool(struct json_out *o, const char *key, bool v)
{
        begin(o, key);
        fputs(v ? "true" : "false", o->to);
}
