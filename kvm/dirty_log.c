/* kvm/dirty_log.c: which pages the guest, and KVM for it, has written since this was asked last.
 *
 * The log and not the ring (KVM_CAP_DIRTY_LOG_RING): all pages of a slot are wanted at once, with the guest stopped, and rarely;
 * a ring would have to be emptied by the vCPU threads whenever it is full. */
#include "kvm/vm_internal.h"

#include "core/base/cleanup.h"
#include "kvm/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORD_PAGES 64

int vm_dirty_log(struct vm *vm, void (*dirty)(void *arg, uint64_t page), void *arg, struct err *e)
{
        _cleanup_free_ uint64_t *bits = calloc(bytes_to_pages(vm->layout.total_bytes) / WORD_PAGES + 1, sizeof(*bits));

        if (!bits)
                return err_set(e, -ENOMEM, "no memory for a dirty log");
        for (size_t i = 0; i < vm->layout.nr; i++) {
                const struct mem_window *w = &vm->layout.w[i];
                uint64_t                 first = bytes_to_pages(w->ram_offset_bytes);
                uint64_t                 words = align_up(bytes_to_pages(w->size_bytes), WORD_PAGES) / WORD_PAGES;
                struct kvm_dirty_log     log = { .slot = (uint32_t)i, .dirty_bitmap = bits };
                /* writes whole 64-bit words, all of them, and empties the log */
                int                      r = kvm_ioctl(vm->vm_fd, KVM_GET_DIRTY_LOG, &log);

                if (r < 0)
                        return err_set(e, r, "KVM_GET_DIRTY_LOG: slot %zu: %s", i, strerror(-r));
                for (uint64_t k = 0; k < words; k++)
                        for (uint64_t left = bits[k]; left; left &= left - 1)
                                dirty(arg, first + k * WORD_PAGES + (uint64_t)__builtin_ctzll(left));
        }
        return 0;
}
