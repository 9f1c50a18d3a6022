/* formats/stratovirt.c: a StratoVirt microVM snapshot, generation 2 or 3: which steps read it and in which order. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/page_index.h"
#include "formats/stratovirt.h"
#include "formats/stratovirt_identity.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define STATE_NAME  "state"

static int probe(int dir_fd, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        uint8_t                           page[SV_HEADER_BYTES];
        ssize_t                           n;
        int                               r = part_open(dir_fd, STATE_NAME, &p, e);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        n = fd_pread_full(p.fd, page, sizeof(page), 0);
        if (n < 0)
                return err_set(e, (int)n, "read %s: %s", STATE_NAME, strerror((int)-n));
        return sv_header_looks_new(page, (size_t)n) || sv_header_looks_like_generation_1(page, (size_t)n);
}

static int read_file(int dir_fd, void **ret, size_t *ret_len, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open_needed(dir_fd, STATE_NAME, &p, e);

        if (r < 0)
                return r;
        r = fd_read_all(p.fd, SV_STATE_MAX, ret, ret_len);
        if (r == -EFBIG)
                return err_bad(e, STATE_NAME, ERR_NO_OFFSET, "expected at most %u bytes, found %" PRIu64 SV_DAMAGED,
                               SV_STATE_MAX, p.size_bytes);
        if (r < 0)
                return err_set(e, r, "read %s: %s", STATE_NAME, strerror(-r));
        return 0;
}

static int check_shape(const uint8_t *state, size_t len, struct err *e)
{
        if (sv_header_looks_like_generation_1(state, MIN(len, (size_t)SV_HEADER_BYTES)))
                return err_bad(e, STATE_NAME, 0, "expected generation 2 or 3 (StratoVirt 2.3 to 2.5), found generation 1 (StratoVirt 2.2 "
                               "or older), which rouse does not read; take the snapshot again with StratoVirt 2.5");
        if (len < SV_HEADER_BYTES)
                return err_bad(e, STATE_NAME, len, "expected a header of %d bytes, found %zu; the file is cut short, use another "
                               "copy",
                               SV_HEADER_BYTES, len);
        return 0;
}

static int read_header(const uint8_t *state, size_t len, struct sv_header *ret, struct err *e)
{
        int r = check_shape(state, len, e);

        r = r < 0 ? r : sv_header_read(STATE_NAME, state, "Device", ret, e);
        if (r < 0)
                return r;
        if (!range_fits(SV_HEADER_BYTES, ret->desc_len, len))
                return err_bad(e, STATE_NAME, SV_HEADER_BYTES, "expected %" PRIu64 " bytes of descriptors, found %zu; the file is "
                               "cut short, use another copy",
                               ret->desc_len, len - SV_HEADER_BYTES);
        return 0;
}

/* What the state file holds, found but not yet understood. */
struct found {
        struct sv_descs   descs;
        struct sv_records records;
};

static int read_serial(const struct sv_descs *descs, const struct sv_record *rec, struct snapshot *s, struct err *e)
{
        struct device_record *d;

        if (!rec->desc) {
                snapshot_note(s, "the machine has no serial port");
                return 0;
        }
        d = vm_state_add_device(&s->vm, DEVICE_SERIAL, "serial");
        if (!d)
                return err_set(e, -ENOMEM, "no memory for the serial port's state");
        return sv_serial_read(descs, rec, &d->u.serial, e);
}

/* The version of the writer stands in the types that are structs. */
static void name_version(const struct sv_records *rec, char *ret, size_t size)
{
        uint64_t v = rec->kvm.desc->version;

        snprintf(ret, size, "generation %d, StratoVirt %" PRIu64 ".%" PRIu64 ".%" PRIu64, rec->generation->number, v >> 16,
                 v >> 8 & 0xff, v & 0xff);
}

static int read_vm(const uint8_t *state, size_t len, const struct sv_header *h, struct found *x, struct snapshot *s,
                   struct err *e)
{
        struct sv_records *rec = &x->records;
        int                r = sv_descs_read(state, h->desc_len, &x->descs, e);

        r = r < 0 ? r : sv_records_read(state, len, SV_HEADER_BYTES + h->desc_len, &x->descs, rec, e);
        if (r < 0)
                return r;
        r = vm_state_init(&s->vm, MACHINE_MICROVM, rec->nr_vcpus);
        if (r < 0)
                return err_set(e, r, "no memory for the state of %u vCPUs", rec->nr_vcpus);
        memcpy(s->vm.cpu_vendor, h->vendor, sizeof(s->vm.cpu_vendor));
        name_version(rec, s->version, sizeof(s->version));
        r = sv_vcpus_read(&x->descs, rec, &s->vm, e);
        r = r < 0 ? r : sv_platform_read(&x->descs, &rec->kvm, &s->vm.platform, e);
        r = r < 0 ? r : read_serial(&x->descs, &rec->serial, s, e);
        return r < 0 ? r : sv_virtio_read(&x->descs, rec, s, e);
}

/* Of two that cannot be used, the one beside the snapshot is the one to tell of. */
static void refuse_index(struct snapshot *s, const struct err *why, bool beside)
{
        snapshot_note(s, "page index is not used: %s", why->text);
        if (s->index.code)
                return;
        s->index = *why;
        s->index_beside = beside;
}

/* An index that cannot be used costs a restore time and nothing else, so here it is a note; verify refuses a damaged one. */
static void find_index(struct snapshot *s, const char *data_dir)
{
        struct err why = { 0 };
        int        r = page_index_read(s->dir_fd, PAGE_INDEX_NAME, &s->identity, &s->pages, &why);

        if (r < 0)
                refuse_index(s, &why, true);
        if (r > 0 || !data_dir)
                return;
        r = page_index_read_data_dir(data_dir, &s->identity, &s->pages, &why);
        if (r < 0)
                refuse_index(s, &why, false);
}

/* Before an index takes the place of these runs. */
static int keep_raw_pages(struct snapshot *s, struct err *e)
{
        int r = 0;

        page_map_init(&s->raw_pages, s->pages.nr_pages);
        for (size_t i = 0; r == 0 && i < s->pages.nr_runs; i++)
                r = page_map_append(&s->raw_pages, &s->pages.runs[i]);
        return r < 0 ? err_set(e, r, "no memory for the page map") : 0;
}

int sv_state_read(const uint8_t *state, size_t len, struct snapshot *s, struct sv_header *ret_header,
                  const struct sv_generation **ret_generation, struct err *e)
{
        _cleanup_free_ struct found *x = malloc(sizeof(*x)); /* 35 KiB: too much for some threads' stacks */
        int                          r;

        if (!x)
                return err_set(e, -ENOMEM, "no memory for descriptors");
        r = read_header(state, len, ret_header, e);
        if (r < 0)
                return r;
        sv_header_note_vendor(ret_header, s);
        r = read_vm(state, len, ret_header, x, s, e);
        if (r < 0)
                return r;
        *ret_generation = x->records.generation;
        return 0;
}

static int read_snapshot(struct snapshot *s, const struct snapshot_open_options *o, struct err *e)
{
        _cleanup_free_ void              *state = NULL;
        _cleanup_(part_close) struct part memory = { .fd = -1 };
        const struct sv_generation       *g = NULL;
        struct sv_header                  h;
        size_t                            len;
        int                               r;

        r = read_file(s->dir_fd, &state, &len, e);
        r = r < 0 ? r : sv_state_read(state, len, s, &h, &g, e);
        if (r < 0)
                return r;
        r = part_open_needed(s->dir_fd, SV_MEMORY, &memory, e);
        r = r < 0 ? r : sv_identify(state, len, memory.fd, &s->identity, e);
        r = r < 0 ? r : sv_memory_read(&memory, g, &h, &s->layout, &s->pages, e);
        r = r < 0 ? r : keep_raw_pages(s, e);
        if (r < 0)
                return r;
        find_index(s, o->data_dir);
        return 0;
}

const struct format_ops format_stratovirt = {
        .name  = "stratovirt",
        .probe = probe,
        .read  = read_snapshot,
};
