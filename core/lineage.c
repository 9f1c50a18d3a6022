/* Epochs of a VM's life, told apart by the snapshots between them. */
#include "core/lineage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EPOCHS_MAX UINT16_MAX /* what last_epoch can tell apart; later snapshots are not remembered, and compared with where they are a base */

static uint64_t epochs_bytes(const struct lineage *l)
{
        return l->nr_pages * sizeof(*l->last_epoch);
}

static uint64_t written_bytes(const struct lineage *l)
{
        return (l->nr_pages / 64 + 1) * sizeof(uint64_t);
}

/* Backed where it is touched. */
static void *map_lazily(uint64_t bytes)
{
        void *v = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return v == MAP_FAILED ? NULL : v;
}

int lineage_init(struct lineage *l, const struct identity *id, uint64_t nr_pages, bool track, const uint8_t *ram, struct err *e)
{
        *l = (struct lineage){.nr_pages = nr_pages, .written.ram = ram};
        if (id)
                lineage_add(l, id);
        if (track) {
                l->last_epoch = map_lazily(epochs_bytes(l));
                l->written.bits = map_lazily(written_bytes(l));
        }
        if ((id && !l->nr) || (track && (!l->last_epoch || !l->written.bits))) {
                lineage_free(l);
                return err_set(e, -ENOMEM, "no memory to track %llu pages", (unsigned long long)nr_pages);
        }
        return 0;
}

void lineage_free(struct lineage *l)
{
        if (l->last_epoch)
                munmap(l->last_epoch, epochs_bytes(l));
        if (l->written.bits)
                munmap((void *)l->written.bits, written_bytes(l));
        free(l->ancestors);
        *l = (struct lineage){0};
}

/* nr is the number of epochs that have begun: the current one is nr - 1, and 1 + that is nr. */
void lineage_mark(void *lineage, uint64_t page)
{
        struct lineage *l = lineage;

        if (page < l->nr_pages)
                l->last_epoch[page] = (uint16_t)l->nr;
}

void lineage_take_written(struct lineage *l)
{
        for (uint64_t k = 0; k <= l->nr_pages / 64; k++) {
                /* its writers are parked: written_pages.h */
                uint64_t left = atomic_load_explicit(&l->written.bits[k], memory_order_relaxed);

                if (!left)
                        continue;
                atomic_store_explicit(&l->written.bits[k], 0, memory_order_relaxed);
                for (; left; left &= left - 1)
                        lineage_mark(l, k * 64 + (uint64_t)__builtin_ctzll(left));
        }
}

bool lineage_find(const struct lineage *l, const struct identity *id, uint32_t *ret_epoch)
{
        for (size_t i = l->nr; i-- > 0;)
                if (identity_equal(&l->ancestors[i], id)) {
                        *ret_epoch = (uint32_t)i;
                        return true;
                }
        return false;
}

bool lineage_is_written(const struct lineage *l, uint64_t page, uint32_t since_epoch)
{
        return l->last_epoch[page] > since_epoch;
}

void lineage_add(struct lineage *l, const struct identity *id)
{
        if (l->nr == EPOCHS_MAX)
                return;
        if ((l->nr & (l->nr - 1)) == 0) { /* as many as there is room for: 0, 1, 2, 4, ... */
                struct identity *grown = reallocarray(l->ancestors, MAX(2 * l->nr, 1u), sizeof(*grown));

                if (!grown)
                        return; /* not remembered: compared with, should it become a base */
                l->ancestors = grown;
        }
        l->ancestors[l->nr++] = *id;
}
