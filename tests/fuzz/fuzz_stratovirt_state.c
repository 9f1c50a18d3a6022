/* fuzz_stratovirt_state: any bytes as a StratoVirt `state` are refused in one line, or they are a machine that a native snapshot
 * holds and gives back as it is. Bytes that call themselves a memory file are one: their first 8192, 1 MiB of holes for RAM, and
 * the rest. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/native_sections.h"
#include "formats/stratovirt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RAM_BYTES  MIB
#define HEAD_BYTES ((size_t)8192)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
        if (!yes)
                abort();
}

static void check_message(int r, const struct err *e)
{
        must(r == -EBADMSG && e->kind == ERR_SNAPSHOT && strstr(e->text, "expected ") && !strchr(e->text, '\n'));
        for (const char *p = e->text; *p; p++)
                must(*p >= ' ' && *p <= '~');
}

/* What was read must survive the way through rouse's own format. */
static void check_machine(const struct vm_state *vm)
{
        _cleanup_(section_out_free) struct section_out   out = { 0 };
        _cleanup_(sections_free) struct sections         in = { 0 };
        _cleanup_(native_state_free) struct native_state back = { 0 };
        const struct identity                            self = { "0123-abc" }, none = { "" };
        struct mem_layout                                l = { 0 };

        must(mem_layout_add(&l, 0, RAM_BYTES, NULL) == 0);
        must(native_state_encode(&self, &none, NULL, &l, vm, &out, NULL) == 0);
        must(sections_read("state", out.bytes, out.len, &in, NULL) == 0);
        must(native_state_decode(&in, &back, NULL) == 0);
        must(vm_state_equal(vm, &back.vm, NULL));
}

static void read_state(const uint8_t *data, size_t size)
{
        const struct sv_generation *g = NULL;
        struct snapshot             s = { 0 };
        struct sv_header            h;
        struct err                  e = { 0 };
        int                         r = sv_state_read(data, size, &s, &h, &g, &e);

        if (r == 0)
                check_machine(&s.vm);
        else
                check_message(r, &e);
        vm_state_free(&s.vm);
}

static void read_memory(const uint8_t *data, size_t size, const struct sv_generation *g)
{
        _cleanup_(part_close) struct part        p = { .fd = memfd_create("memory", MFD_CLOEXEC) };
        _cleanup_(page_map_free) struct page_map pages = { 0 };
        struct mem_layout                        l = { 0 };
        struct sv_header                         state = { .vendor = "GenuineIntel" };
        struct err                               e = { 0 };
        size_t                                   head = MIN(size, HEAD_BYTES);
        int                                      r;

        p.size_bytes = HEAD_BYTES + RAM_BYTES + (size - head);
        must(p.fd >= 0 && ftruncate(p.fd, (off_t)p.size_bytes) == 0);
        must(fd_pwrite_full(p.fd, data, head, 0) == 0);
        must(fd_pwrite_full(p.fd, data + head, size - head, HEAD_BYTES + RAM_BYTES) == 0);
        r = sv_memory_read(&p, g, &state, &l, &pages, &e);
        if (r < 0) {
                check_message(r, &e);
                return;
        }
        must(l.total_bytes == RAM_BYTES && pages.nr_pages == bytes_to_pages(RAM_BYTES));
        must(page_map_check(&pages, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char format[] = "\"MemoryFull\"";

        if (!memmem(data, MIN(size, (size_t)SV_HEADER_BYTES), format, sizeof(format) - 1)) {
                read_state(data, size);
                return 0;
        }
        read_memory(data, size, &sv_generation_2);
        read_memory(data, size, &sv_generation_3);
        return 0;
}
