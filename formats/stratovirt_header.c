/* formats/stratovirt_header.c: the 4096-byte header that begins both files of a StratoVirt snapshot. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <cpuid.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct header_json {
        uint8_t          magic[16], arch[8], cpu_model[16], os_type[8];
        struct json_span byte_order, format;
        uint64_t         compat_version, hypervisor_version, desc_len;
};

#define FIELD(member, name, type, limit) { name, type, offsetof(struct header_json, member), limit }
static const struct json_field header_fields[] = {
        FIELD(magic, "magic_num", JSON_BYTES, 16),
        FIELD(compat_version, "compat_version", JSON_U64, UINT32_MAX),
        FIELD(arch, "arch", JSON_BYTES, 8),
        FIELD(byte_order, "byte_order", JSON_STRING, 0),
        FIELD(hypervisor_version, "hypervisor_version", JSON_U64, UINT32_MAX),
        FIELD(cpu_model, "cpu_model", JSON_BYTES, 16),
        FIELD(os_type, "os_type", JSON_BYTES, 8),
        FIELD(format, "format", JSON_STRING, 0),
        FIELD(desc_len, "desc_len", JSON_U64, SV_DESC_TEXT_MAX),
};
static_assert(ARRAY_LEN(header_fields) <= JSON_FIELDS_MAX, "one bit each");

/* Padded with NULs and with the digit 0, as StratoVirt does. */
static const uint8_t magic[16] = "STRATOVIRT";
static const char    arch[9] = "x86_6400", os_type[9] = "linux000";

static uint64_t text_length(const uint8_t *page)
{
        uint64_t len;

        memcpy(&len, page, sizeof(len));
        return le64toh(len);
}

bool sv_header_looks_new(const uint8_t *page, size_t len)
{
        static const char key[] = "\"magic_num\"";

        return len == SV_HEADER_BYTES && text_length(page) <= SV_HEADER_TEXT_MAX && page[8] == '{' &&
               memmem(page + 8, text_length(page), key, sizeof(key) - 1);
}

bool sv_header_looks_like_generation_1(const uint8_t *page, size_t len)
{
        return !sv_header_looks_new(page, len) && memmem(page, MIN(len, (size_t)SV_OLD_HEADER_BYTES), magic,
                                                         strlen((const char *)magic));
}

static int differs(const struct json_place *at, const char *name, const char *expected, const char *found, struct err *e)
{
        return err_bad(e, at->file, at->offset_bytes, "header: expected %s %s, found %s; rouse reads x86_64 microVM snapshots of "
                       "StratoVirt 2.3 to 2.5",
                       name, expected, found);
}

/* Text of a fixed length in a message, without what a terminal would act on. */
static void printable(const uint8_t *p, size_t n, char *ret)
{
        for (size_t i = 0; i < n; i++)
                ret[i] = p[i] >= ' ' && p[i] <= '~' ? (char)p[i] : '\0';
        ret[n] = '\0';
}

static int check_text(const struct json_place *at, const char *name, const char *expected, const uint8_t *found, size_t n,
                      struct err *e)
{
        char shown[17];

        if (!memcmp(found, expected, n))
                return 0;
        printable(found, n, shown);
        return differs(at, name, expected, shown, e);
}

static int check_number(const struct json_place *at, const char *name, uint64_t expected, uint64_t found, struct err *e)
{
        char a[24], b[24];

        if (expected == found)
                return 0;
        snprintf(a, sizeof(a), "%" PRIu64, expected);
        snprintf(b, sizeof(b), "%" PRIu64, found);
        return differs(at, name, a, b, e);
}

static int check(const struct json_place *at, const struct header_json *h, const char *format, struct err *e)
{
        int r = check_text(at, "magic_num", (const char *)magic, h->magic, sizeof(h->magic), e);

        r = r < 0 ? r : check_text(at, "arch", arch, h->arch, sizeof(h->arch), e);
        r = r < 0 ? r : check_text(at, "os_type", os_type, h->os_type, sizeof(h->os_type), e);
        r = r < 0 ? r : check_number(at, "compat_version", SV_COMPAT_VERSION, h->compat_version, e);
        r = r < 0 ? r : check_number(at, "hypervisor_version", SV_HYPERVISOR, h->hypervisor_version, e);
        if (r < 0)
                return r;
        if (!json_span_is(h->byte_order, "Little"))
                return differs(at, "byte_order", "\"Little\"", "another", e);
        if (!json_span_is(h->format, format))
                return differs(at, "format", format, "another", e);
        return 0;
}

static int check_padding(const char *file, const uint8_t *page, uint64_t from, struct err *e)
{
        for (uint64_t i = from; i < SV_HEADER_BYTES; i++)
                if (page[i])
                        return err_bad(e, file, i, "expected zeros after the header's text, found %#x" SV_DAMAGED, page[i]);
        return 0;
}

int sv_header_read(const char *file, const uint8_t *page, const char *format, struct sv_header *ret, struct err *e)
{
        uint64_t           len = text_length(page);
        struct json_place  at = { file, (const char *)page + 8, 8 };
        struct header_json h;
        struct json_span   text = { at.text, len }, object;
        int                r;

        if (len > SV_HEADER_TEXT_MAX)
                return err_bad(e, file, 0, "expected a header text of at most %d bytes, found %" PRIu64 SV_DAMAGED,
                               SV_HEADER_TEXT_MAX, len);
        if (!json_take(&text, &object) || text.len)
                return err_bad(e, file, json_offset(&at, text.p), "expected one JSON object of %" PRIu64 " bytes, found other "
                               "text" SV_DAMAGED, len);
        r = json_read(&at, object, header_fields, ARRAY_LEN(header_fields), &h, e);
        r = r < 0 ? r : check(&at, &h, format, e);
        r = r < 0 ? r : check_padding(file, page, 8 + len, e);
        if (r < 0)
                return r;
        *ret = (struct sv_header){ .desc_len = h.desc_len };
        printable(h.cpu_model, sizeof(h.cpu_model), ret->vendor);
        return 0;
}

/* CPUID leaf 0: EBX, EDX, ECX are the vendor's name. */
static void host_vendor(char ret[17])
{
        unsigned int max, part[3];

        __cpuid(0, max, part[0], part[2], part[1]);
        (void)max;
        memset(ret, 0, 17);
        memcpy(ret, part, sizeof(part));
}

void sv_header_note_vendor(const struct sv_header *h, struct snapshot *s)
{
        char host[17];

        host_vendor(host);
        if (strcmp(h->vendor, host))
                snapshot_note(s, "saved on a %s CPU, this host is %s: a guest that uses what only the other has will fail",
                              h->vendor, host);
}
