/* tests/support/sv_snapshot.c: edits the text of a state and keeps its lengths true. */
#include "tests/support/sv_snapshot.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/siphash.h"
#include "tests/support/fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 4096

void sv_bytes_free(struct sv_bytes *b)
{
        free(b->p);
        *b = (struct sv_bytes){ 0 };
}

struct sv_bytes sv_load(const char *fixture, const char *name)
{
        _cleanup_close_ int dir_fd = open(fixture_source(fixture), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        struct sv_bytes     b;
        void               *p;

        cr_assert(fd >= 0, "open %s of %s: %m", name, fixture);
        cr_assert_eq(fd_read_all(fd, 16 * MIB, &p, &b.len), 0);
        b.p = p;
        return b;
}

static uint64_t get(const struct sv_bytes *s, size_t at)
{
        uint64_t v;

        memcpy(&v, s->p + at, sizeof(v));
        return v;
}

static void put(struct sv_bytes *s, size_t at, uint64_t v)
{
        memcpy(s->p + at, &v, sizeof(v));
}

static const char key[] = "\"desc_len\":";

static char *desc_len_text(const struct sv_bytes *s)
{
        char *p = memmem(s->p, HEADER_BYTES, key, sizeof(key) - 1);

        cr_assert_not_null(p);
        return p + sizeof(key) - 1;
}

size_t sv_records_at(const struct sv_bytes *state)
{
        return HEADER_BYTES + strtoull(desc_len_text(state), NULL, 10);
}

/* Replaces the header's text from `at` on by `text`, zeros up to its end. */
static void set_header_tail(struct sv_bytes *s, size_t at, const char *text)
{
        size_t len = strlen(text);

        cr_assert_lt(at + len, HEADER_BYTES);
        memset(s->p + at, 0, HEADER_BYTES - at);
        snprintf((char *)s->p + at, HEADER_BYTES - at, "%s", text);
        put(s, 0, at + len - 8);
}

static void set_desc_len(struct sv_bytes *s, size_t len)
{
        char   tail[32];
        size_t at = (size_t)((uint8_t *)desc_len_text(s) - s->p);

        snprintf(tail, sizeof(tail), "%zu}", len);
        set_header_tail(s, at, tail);
}

static void replace_bytes(struct sv_bytes *s, size_t at, size_t old_len, const void *to, size_t new_len)
{
        uint8_t *p = malloc(s->len - old_len + new_len + 1);

        cr_assert_not_null(p);
        memcpy(p, s->p, at);
        memcpy(p + at, to, new_len);
        memcpy(p + at + new_len, s->p + at + old_len, s->len - at - old_len);
        free(s->p);
        s->p = p;
        s->len = s->len - old_len + new_len;
}

static size_t find_nth(const struct sv_bytes *s, int nth, const char *text)
{
        const uint8_t *p = s->p;

        for (;; nth--, p++) {
                p = memmem(p, (size_t)(s->p + s->len - p), text, strlen(text));
                cr_assert_not_null(p, "no such text: %s", text);
                if (!nth)
                        return (size_t)(p - s->p);
        }
}

/* The record whose body holds `at`. */
static size_t record_around(const struct sv_bytes *s, size_t at)
{
        size_t r = sv_records_at(s);

        while (r + 24 + get(s, r + 16) <= at)
                r += 24 + get(s, r + 16);
        return r;
}

void sv_edit(struct sv_bytes *state, int nth, const char *from, const char *to)
{
        size_t at = find_nth(state, nth, from), records = sv_records_at(state), more = strlen(to) - strlen(from);
        size_t record = at >= records ? record_around(state, at) : 0;

        cr_assert_geq(at, HEADER_BYTES, "the header's text has functions of its own");
        replace_bytes(state, at, strlen(from), to, strlen(to));
        if (record)
                put(state, record + 16, get(state, record + 16) + more);
        else
                set_desc_len(state, records + more - HEADER_BYTES);
}

size_t sv_record_at(const struct sv_bytes *state, int nth)
{
        size_t r = sv_records_at(state);

        while (nth-- > 0)
                r += 24 + get(state, r + 16);
        cr_assert_lt(r, state->len);
        return r;
}

int sv_nr_records(const struct sv_bytes *state)
{
        int n = 0;

        for (size_t r = sv_records_at(state); r < state->len; r += 24 + get(state, r + 16))
                n++;
        return n;
}

void sv_cut(struct sv_bytes *state, size_t at, size_t len)
{
        memmove(state->p + at, state->p + at + len, state->len - at - len);
        state->len -= len;
}

void sv_add_desc(struct sv_bytes *state, const char *type, unsigned int size, const char *fields)
{
        static const char before[] = "{\"name\":\"BlockState\"";
        char              text[2048];

        snprintf(text, sizeof(text),
                 "{\"name\":\"%s\",\"alias\":%" PRIu64 ",\"size\":%u,\"current_version\":%u,\"compat_version\":%u,"
                 "\"fields\":%s}%s", type, siphash13_str(type), size, size ? 132352 : 256, size ? 256 : 0, fields, before);
        sv_edit(state, 0, before, text);
}

void sv_add_record(struct sv_bytes *state, const char *type, const char *instance, const void *body, size_t len)
{
        char     name[64];
        uint64_t header[3] = { 0, siphash13_str(type), len };
        uint8_t *p = realloc(state->p, state->len + sizeof(header) + len);

        cr_assert_not_null(p);
        snprintf(name, sizeof(name), "%s/%s", type, instance);
        header[0] = siphash13_str(name);
        memcpy(p + state->len, header, sizeof(header));
        memcpy(p + state->len + sizeof(header), body, len);
        state->p = p;
        state->len += sizeof(header) + len;
}

static void vendor_text(const char *vendor, char *ret, size_t size)
{
        size_t n = 0;

        for (int i = 0; i < 16; i++)
                n += (size_t)snprintf(ret + n, size - n, "%s%d", i ? "," : "[", i < 12 ? vendor[i] : 0);
        snprintf(ret + n, size - n, "]");
}

void sv_set_vendor(struct sv_bytes *state, const char *vendor)
{
        static const char name[] = "\"cpu_model\":";
        char              text[128], tail[HEADER_BYTES];
        uint8_t          *begin = memmem(state->p, HEADER_BYTES, name, sizeof(name) - 1), *end;

        cr_assert_not_null(begin);
        begin += sizeof(name) - 1;
        end = memchr(begin, ']', HEADER_BYTES / 2);
        cr_assert_not_null(end);
        vendor_text(vendor, text, sizeof(text));
        snprintf(tail, sizeof(tail), "%s%s", text, (char *)end + 1);
        set_header_tail(state, (size_t)(begin - state->p), tail);
}

static void write_table(int fd, uint64_t at, const char *text)
{
        char     page[HEADER_BYTES] = "";
        uint64_t len = strlen(text);

        memcpy(page, &len, sizeof(len));
        snprintf(page + 8, sizeof(page) - 8, "%s", text);
        cr_assert_eq(fd_pwrite_full(fd, page, sizeof(page), at), 0);
}

static void table_text(uint64_t total, char *ret, size_t size)
{
        uint64_t low = MIN(total, 3 * GIB);
        char     high[128] = "";

        if (total > low)
                snprintf(high, sizeof(high),
                         "{\"name\":\"above4g_ram\",\"alias_offset\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"size\":%" PRIu64 "},",
                         3 * GIB, 4 * GIB, total - low);
        snprintf(ret, size, "{\"total_region_size\":%" PRIu64 ",\"ram_region_state\":[{\"name\":\"DefaultRam\",\"offset\":0,\"size\":%" PRIu64
                 "}],\"alias_region_state\":[%s{\"name\":\"below4g_ram\",\"alias_offset\":0,\"offset\":0,\"size\":%" PRIu64 "}]}",
                 total, total, high, low);
}

static void replace_text(char *text, size_t size, const char *from, const char *to)
{
        char *at = strstr(text, from), rest[1024];

        cr_assert_not_null(at, "no such text: %s", from);
        snprintf(rest, sizeof(rest), "%s", at + strlen(from));
        snprintf(at, size - (size_t)(at - text), "%s%s", to, rest);
}

void sv_write_memory(const struct tmpdir *t, uint64_t total_bytes, const char *from, const char *to)
{
        static const char header[] = "{\"magic_num\":[83,84,82,65,84,79,86,73,82,84,0,0,0,0,0,0],\"compat_version\":8194,"
                                     "\"arch\":[120,56,54,95,54,52,48,48],\"byte_order\":\"Little\",\"hypervisor_version\":12,"
                                     "\"cpu_model\":[71,101,110,117,105,110,101,73,110,116,101,108,0,0,0,0],"
                                     "\"os_type\":[108,105,110,117,120,48,48,48],\"format\":\"MemoryFull\",\"desc_len\":4096}";
        _cleanup_close_ int fd = openat(t->fd, "memory", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        char                table[1024];

        cr_assert(fd >= 0, "create memory: %m");
        table_text(total_bytes, table, sizeof(table));
        if (from && to)
                replace_text(table, sizeof(table), from, to);
        write_table(fd, 0, header);
        write_table(fd, HEADER_BYTES, table);
        write_table(fd, 2 * HEADER_BYTES + total_bytes, "{\"region_states\":[]}");
}
