/* KVM_GET_MSRS and KVM_SET_MSRS stop at the first MSR they refuse and return how many they did: here they are called on from
 * there. */
#include "kvm/msrs.h"

#include "core/base/cleanup.h"
#include "kvm/sys.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BATCH_MAX 255 /* KVM refuses 256 with E2BIG (MAX_IO_MSRS in arch/x86/kvm/x86.c) */

/* struct kvm_msrs with room. */
struct msr_batch {
        uint32_t             nr, pad;
        struct kvm_msr_entry v[BATCH_MAX];
};
static_assert(offsetof(struct msr_batch, v) == offsetof(struct kvm_msrs, entries), "as KVM_SET_MSRS takes it");
static_assert(sizeof(struct kvm_msr_entry) == 16, "as KVM_SET_MSRS takes it");

/* struct kvm_msr_list with room. */
struct msr_index_list {
        uint32_t nr;
        uint32_t v[MSRS_MAX];
};
static_assert(offsetof(struct msr_index_list, v) == offsetof(struct kvm_msr_list, indices), "as KVM_GET_MSR_INDEX_LIST takes it");

/* What KVM keeps and answers for, but leaves out of its list: memory types (Intel SDM vol. 3 "Memory Type Range Registers"). A
 * guest's kernel sets them and looks at them again when it starts a processor. */
static const uint32_t unlisted[] = {
        /* PHYSBASE, MASK */
        0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207, 0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
        0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f, /* FIX64K, FIX16K, FIX4K */
        0x2ff, /* DEF_TYPE: after the ranges that it enables */
};

/* KVM's list and the rest; one that this vCPU does not have is skipped when it is got. */
static int list_msrs(int kvm_fd, struct msr_index_list *ret)
{
        int r;

        ret->nr = MSRS_MAX - ARRAY_LEN(unlisted);
        r = kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, ret);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_LEN(unlisted); i++) {
                bool listed = false;

                for (uint32_t k = 0; k < ret->nr && !listed; k++)
                        listed = ret->v[k] == unlisted[i];
                if (!listed)
                        ret->v[ret->nr++] = unlisted[i];
        }
        return 0;
}

/* Puts up to BATCH_MAX of those from `first` on through the ioctl; returns how many were done, and they are in *b. */
static int do_batch(int vcpu_fd, unsigned long request, const struct kvm_msr_entry *first, uint32_t nr, struct msr_batch *b)
{
        b->nr = MIN(nr, (uint32_t)BATCH_MAX);
        b->pad = 0;
        memcpy(b->v, first, b->nr * sizeof(*first));
        return kvm_ioctl(vcpu_fd, request, b);
}

int msrs_get(int kvm_fd, int vcpu_fd, struct kvm_msr_entry **ret, uint32_t *ret_nr)
{
        struct msr_index_list                list;
        struct msr_batch                     b;
        _cleanup_free_ struct kvm_msr_entry *v = NULL;
        uint32_t                             kept = 0;
        int                                  r = list_msrs(kvm_fd, &list);

        if (r < 0)
                return r;
        v = calloc(MAX(list.nr, 1u), sizeof(*v));
        if (!v)
                return -ENOMEM;
        for (uint32_t i = 0; i < list.nr; i++)
                v[i].index = list.v[i];
        /* read on at i, keep at kept: kept never passes i */
        for (uint32_t i = 0; i < list.nr;) {
                r = do_batch(vcpu_fd, KVM_GET_MSRS, &v[i], list.nr - i, &b);
                if (r < 0)
                        return r;
                memcpy(&v[kept], b.v, (uint32_t)r * sizeof(*v));
                kept += (uint32_t)r;
                i += (uint32_t)r + ((uint32_t)r < b.nr); /* the one it stopped at is one that this vCPU does not have */
        }
        *ret = TAKE_PTR(v);
        *ret_nr = kept;
        return 0;
}

static void report_refused(struct vm_load_report *report, uint32_t vcpu, const struct kvm_msr_entry *m)
{
        if (report->nr_refused < VM_REFUSED_MAX) {
                report->refused[report->nr_refused].vcpu = vcpu;
                report->refused[report->nr_refused].index = m->index;
                report->refused[report->nr_refused].data = m->data;
        }
        report->nr_refused++;
}

int msrs_set(int vcpu_fd, uint32_t vcpu, const struct kvm_msr_entry *v, uint32_t nr, struct vm_load_report *report)
{
        struct msr_batch b;

        for (uint32_t i = 0; i < nr;) {
                int r = do_batch(vcpu_fd, KVM_SET_MSRS, &v[i], nr - i, &b);

                if (r < 0)
                        return r;
                i += (uint32_t)r;
                if ((uint32_t)r < b.nr)
                        report_refused(report, vcpu, &v[i++]);
        }
        return 0;
}
