/* formats/snapshot_writer.c: which formats can be written; and the native one behind the contract. */
#include "formats/snapshot_writer.h"

#include "formats/codec/lz4.h"
#include "formats/native_write.h"

#include <string.h>

static const struct snapshot_writer_ops *const writers[] = { &native_writer_ops, &sv_writer_ops };

const struct snapshot_writer_ops *snapshot_writer_find(const char *format, struct err *e)
{
        for (size_t i = 0; i < ARRAY_LEN(writers); i++)
                if (!strcmp(writers[i]->name, format ? format : "native"))
                        return writers[i];
        err_usage(e, "format: expected native or stratovirt, found '%s'", format);
        return NULL;
}

int snapshot_writer_check_pack(const struct snapshot_writer_ops *ops, int level, struct err *e)
{
        if (!ops->packs)
                return err_usage(e, "pack: expected a format that has packed pages (native), found %s", ops->name);
        if (!lz4_pack_level_is_valid(level))
                return err_usage(e, "pack level: expected 1 to %d, or -1 to %d for speed, found %d", LZ4_PACK_LEVEL_MAX,
                                 LZ4_PACK_LEVEL_MIN, level);
        return 0;
}

/* --- native: the handle that the contract hides is the native writer itself --- */

static struct native_writer *native(struct snapshot_writer *w)
{
        return (struct native_writer *)w;
}

static int native_check(const struct vm_state *vm, struct err *e)
{
        (void)vm, (void)e;
        return 0; /* it holds all that a vm_state does */
}

static void native_advise(const struct vm_state *vm, void (*say)(void *arg, const char *text), void *arg)
{
        (void)vm, (void)say, (void)arg;
}

static int native_new(const struct snapshot_writer_options *o, struct snapshot_writer **ret, struct err *e)
{
        struct native_writer_options n = { .path       = o->path,
                                           .replace    = o->replace,
                                           .ram_pages  = o->ram_pages,
                                           .need_bytes = o->need_bytes,
                                           .parent     = o->parent,
                                           .parent_place = o->parent_place,
                                           .pack       = o->pack,
                                           .pack_level = o->pack_level };

        struct native_writer *w;
        int                   r = native_writer_new(&n, &w, e);

        if (r < 0)
                return r;
        *ret = (struct snapshot_writer *)w;
        return 0;
}

static int native_pages(struct snapshot_writer *w, const void *bytes, uint64_t nr_pages, struct err *e)
{
        return native_writer_pages(native(w), bytes, nr_pages, e);
}

static int native_parent_pages(struct snapshot_writer *w, uint64_t nr_pages, struct err *e)
{
        return native_writer_parent_pages(native(w), nr_pages, e);
}

static int native_state(struct snapshot_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e)
{
        return native_writer_state(native(w), vm, l, e);
}

static int native_hints(struct snapshot_writer *w, const struct hints *h, struct err *e)
{
        return native_writer_hints(native(w), h, e);
}

static int native_commit(struct snapshot_writer *w, struct identity *ret_identity, struct err *e)
{
        return native_writer_commit(native(w), ret_identity, e);
}

static struct snapshot_writer_counts native_counts(const struct snapshot_writer *w)
{
        struct native_writer_counts n = native_writer_counts((const struct native_writer *)w);

        return (struct snapshot_writer_counts){ .data_pages = n.data_pages, .zero_pages = n.zero_pages,
                                                .parent_pages = n.parent_pages,
                                                .stored_bytes = n.stored_bytes };
}

static void native_free(struct snapshot_writer *w)
{
        native_writer_free(native(w));
}

const struct snapshot_writer_ops native_writer_ops = {
        .name   = "native",
        .packs  = true,
        .check  = native_check,
        .advise = native_advise,
        .new    = native_new,
        .pages  = native_pages,
        .parent_pages = native_parent_pages,
        .state  = native_state,
        .hints  = native_hints,
        .commit = native_commit,
        .counts = native_counts,
        .free   = native_free,
};
