// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* First touches of guest memory, as the kernel sees them: KVM's requests for guest frames, and page faults on the host's side.
 *
 * kvm_mmu_spte_requested is what holds on every host. It comes with the guest frame and its slot, whatever the paging:
 * kvm_page_fault has a guest-virtual address under shadow paging, and KVM without VMX or SVM has no such event at all. It comes
 * for every page that the guest touches and that KVM has not mapped, whether the host has mapped it (fault-around) or not. What
 * touches guest memory beside the guest (the VMM's devices, KVM's own walks of guest page tables, vhost) takes ordinary page
 * faults; the slots tell which of them are guest memory. */
#include "tools/trace/kernel_types.h"

#include "tools/trace/event.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* For the helpers that read kernel memory. */
char LICENSE[] SEC("license") = "GPL";

#define PAGE_SHIFT     12
#define USER_END       (1ULL << 56)
#define FAULT_WRITE    2 /* X86_PF_WRITE */
#define PIO_OUT        1
#define SERIAL_DATA    0x3f8
#define LEVEL_4K       1
#define SPTES          512 /* in a page of them */
#define SPTE_FRAME     0x000ffffffffff000ULL
#define SPTE_ACCESSED  (1ULL << 5 | 1ULL << 8) /* as x86 page tables have it, and as EPT has it */
#define PROCESSES_MAX  4096
#define WAKE_AT_PART   4 /* of the ring that is full */

/* Set before it is loaded. */
const volatile __u64 pidns_dev = 0, pidns_ino = 0; /* of the tracer, where it is not the first one; ino 0: it is */
const volatile __u32 root_tgid = 0;                /* where to begin, as the tracer's pid namespace has it */
const volatile bool  follow = false;               /* its children, too */
const volatile __u64 ring_bytes = 0;

/* Told at any time. */
__u64 vm_kvm = 0, vm_mm = 0;   /* the VM: the first one that asked for a guest frame */
__u64 first_ns = 0;            /* when it asked */
__u64 serial_ns = 0;           /* the first byte on its serial port */
__u64 lost = 0;                /* events that had no room */
__u64 unfollowed = 0;          /* entries for which a map here had no room */
__u64 other_vm = 0;            /* requests of further VMs */
__u64 ahead_nr = 0;            /* entries of `ahead` */
__u64 offspring = 0;           /* living processes that the first one started, and their children */

struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, 4096); /* set before it is loaded */
} events SEC(".maps");

/* By guest page number, TRACE_PER_WORD pages a word. */
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, TRACE_SEEN_PAGES / TRACE_PER_WORD);
        __type(key, __u32);
        __type(value, __u64);
} seen SEC(".maps");

struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, TRACE_SLOTS_MAX);
        __type(key, struct trace_slot_key);
        __type(value, __u8);
} slots SEC(".maps");

/* What KVM mapped ahead, by the address of its entry. Under shadow paging it fills up to 8 entries at a fault, of pages that the
 * host has and the guest used before: no touch, and none of them will fault. It leaves their accessed bits clear, so these tell
 * of the touch. */
struct ahead {
        __u64 gfn, spte;
};

struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __uint(max_entries, TRACE_AHEAD_MAX);
        __type(key, __u64);
        __type(value, struct ahead);
} ahead SEC(".maps");

/* Thread groups that are followed, by the number that the first pid namespace gives them. */
enum { ROOT, OFFSPRING };
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, PROCESSES_MAX);
        __type(key, __u32);
        __type(value, __u8);
} followed SEC(".maps");

static __u32 current_tgid(void)
{
        return bpf_get_current_pid_tgid() >> 32;
}

static struct mm_struct *current_mm(void)
{
        struct task_struct *t = (struct task_struct *)bpf_get_current_task();

        return BPF_CORE_READ(t, mm);
}

/* Is the process that runs the one that the tracer was pointed at? Where the two count processes differently it is asked once for
 * each, and remembered. */
static bool is_root(__u32 tgid)
{
        struct bpf_pidns_info in_ns = {};

        if (!pidns_ino)
                return tgid == root_tgid;
        return bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, &in_ns, sizeof(in_ns)) == 0 && in_ns.tgid == root_tgid;
}

static bool is_followed(void)
{
        __u32 tgid = current_tgid();
        __u8 root = ROOT;

        if (bpf_map_lookup_elem(&followed, &tgid))
                return true;
        if (!is_root(tgid))
                return false;
        bpf_map_update_elem(&followed, &tgid, &root, BPF_NOEXIST);
        return true;
}

/* The vCPU that this thread has loaded: KVM hangs itself on the scheduler for it. The event itself does not tell whose it is. */
static struct kvm *current_kvm(void)
{
        struct task_struct *t = (struct task_struct *)bpf_get_current_task();
        struct hlist_node *link = BPF_CORE_READ(t, preempt_notifiers.first);
        struct kvm_vcpu *vcpu;

        if (!link)
                return 0;
        vcpu = (void *)link - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) - bpf_core_field_offset(struct preempt_notifier, link);
        return BPF_CORE_READ(vcpu, kvm);
}

/* The first VM to ask becomes the one that is traced. */
static bool is_our_vm(void)
{
        __u64 kvm;

        if (!vm_kvm && !is_followed())
                return false;
        kvm = (__u64)current_kvm();
        if (!kvm)
                return false;
        if (!vm_kvm && __sync_val_compare_and_swap(&vm_kvm, 0, kvm) == 0) {
                vm_mm = (__u64)BPF_CORE_READ((struct kvm *)kvm, mm);
                first_ns = bpf_ktime_get_ns();
        }
        if (vm_kvm == kvm)
                return true;
        if (is_followed())
                __sync_fetch_and_add(&other_vm, 1);
        return false;
}

/* The tracer looks every few ms; it is woken when that might be too late. */
static __u64 how_to_wake(void)
{
        return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= ring_bytes / WAKE_AT_PART ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static bool tell(__u32 kind, __u64 page, __u64 mm)
{
        struct trace_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

        if (!e) {
                __sync_fetch_and_add(&lost, 1);
                return false;
        }
        e->ns = bpf_ktime_get_ns();
        e->page = page;
        e->mm = mm;
        e->kind = kind;
        e->zero = 0;
        bpf_ringbuf_submit(e, how_to_wake());
        return true;
}

static bool tell_slot(const struct trace_slot_key *k)
{
        struct trace_slot *s = bpf_ringbuf_reserve(&events, sizeof(*s), 0);

        if (!s) {
                __sync_fetch_and_add(&lost, 1);
                return false;
        }
        s->ns = bpf_ktime_get_ns();
        s->slot = *k;
        s->kind = TRACE_SLOT;
        s->tgid = current_tgid();
        bpf_ringbuf_submit(s, how_to_wake());
        return true;
}

/* One that could not be told is told with the next page in it. */
static void note_slot(struct kvm_memory_slot *slot)
{
        struct trace_slot_key k = {};
        __u8 one = 1;

        if (!slot)
                return;
        k.first_gfn = BPF_CORE_READ(slot, base_gfn);
        k.nr_pages = BPF_CORE_READ(slot, npages);
        k.hva = BPF_CORE_READ(slot, userspace_addr);
        if (bpf_map_lookup_elem(&slots, &k))
                return;
        if (tell_slot(&k) && bpf_map_update_elem(&slots, &k, &one, BPF_ANY) < 0)
                __sync_fetch_and_add(&unfollowed, 1);
}

/* Tells of a page the first time it is touched, and the first time it is written. What had no room is forgotten, and told the
 * next time. */
static void touch(__u64 gfn, __u32 kind)
{
        __u64 bits = (kind & TRACE_WRITE ? 3ULL : 1ULL) << gfn % TRACE_PER_WORD * 2, before;
        __u32 key = gfn / TRACE_PER_WORD;
        __u64 *word = gfn < TRACE_SEEN_PAGES ? bpf_map_lookup_elem(&seen, &key) : 0;

        if (!word) {
                tell(kind, gfn, vm_mm);
                return;
        }
        if ((*word & bits) == bits)
                return;
        before = __sync_fetch_and_or(word, bits);
        if ((before & bits) != bits && !tell(kind, gfn, vm_mm))
                __sync_fetch_and_and(word, ~(bits & ~before));
}

static bool was_told(__u64 gfn)
{
        __u32 key = gfn / TRACE_PER_WORD;
        __u64 *word = gfn < TRACE_SEEN_PAGES ? bpf_map_lookup_elem(&seen, &key) : 0;

        return word && *word >> gfn % TRACE_PER_WORD * 2 & 1;
}

SEC("tp_btf/kvm_mmu_spte_requested")
int BPF_PROG(guest_frame, struct kvm_page_fault *fault)
{
        __u32 kind = TRACE_GUEST;

        if (!is_our_vm())
                return 0;
        if (BPF_CORE_READ(fault, write))
                kind |= TRACE_WRITE;
        if (BPF_CORE_READ(fault, goal_level) > LEVEL_4K)
                kind |= TRACE_LARGE;
        note_slot(BPF_CORE_READ(fault, slot));
        touch(BPF_CORE_READ(fault, gfn), kind);
        return 0;
}

/* The guest wants it, and goes on with something else meanwhile: its request comes again when the page is there. */
SEC("tp_btf/kvm_try_async_get_page")
int BPF_PROG(async_frame, __u64 gva, __u64 gfn)
{
        if (is_our_vm())
                touch(gfn, TRACE_GUEST);
        return 0;
}

/* Under shadow paging KVM reads the guest's page tables itself, and takes no fault for them where the host has mapped them. */
SEC("tp_btf/kvm_mmu_get_page")
int BPF_PROG(table_frame, struct kvm_mmu_page *sp)
{
        if (!BPF_CORE_READ_BITFIELD_PROBED(sp, role.direct) && is_our_vm())
                touch(BPF_CORE_READ(sp, gfn), TRACE_GUEST);
        return 0;
}

/* After the event for the page that was asked for: it is told by now, and what was not is mapped ahead. */
SEC("tp_btf/kvm_mmu_set_spte")
int BPF_PROG(entry_set, int level, __u64 gfn, __u64 *sptep)
{
        __u64 key = (__u64)sptep;
        struct ahead a = {.gfn = gfn};

        if (level != LEVEL_4K || !is_our_vm() || was_told(gfn))
                return 0;
        if (bpf_probe_read_kernel(&a.spte, sizeof(a.spte), sptep) < 0 || a.spte & SPTE_ACCESSED)
                return 0;
        if (!bpf_map_lookup_elem(&ahead, &key))
                __sync_fetch_and_add(&ahead_nr, 1);
        if (bpf_map_update_elem(&ahead, &key, &a, BPF_ANY) < 0) {
                __sync_fetch_and_sub(&ahead_nr, 1);
                __sync_fetch_and_add(&unfollowed, 1);
        }
        return 0;
}

/* Tells of it if it was touched. Kept while it is as KVM has set it. */
static void look_at(__u64 sptep, const struct ahead *a)
{
        __u64 now = 0;

        if (bpf_probe_read_kernel(&now, sizeof(now), (void *)sptep) == 0 && ((now ^ a->spte) & SPTE_FRAME) == 0 && !was_told(a->gfn)) {
                if (!(now & SPTE_ACCESSED))
                        return;
                touch(a->gfn, TRACE_GUEST); /* whether it was written cannot be seen: KVM sets the dirty bit itself */
        }
        if (bpf_map_delete_elem(&ahead, &sptep) == 0)
                __sync_fetch_and_sub(&ahead_nr, 1);
}

static long look_at_each(void *map, const __u64 *sptep, struct ahead *a, void *unused)
{
        look_at(*sptep, a);
        return 0;
}

/* The tracer runs it every some ms. */
SEC("syscall")
int sweep(void *unused)
{
        bpf_for_each_map_elem(&ahead, look_at_each, 0, 0);
        return 0;
}

static long look_at_entry(__u32 i, __u64 *table)
{
        __u64 sptep = *table + i * sizeof(__u64);
        struct ahead *a = bpf_map_lookup_elem(&ahead, &sptep), copy;

        if (a) {
                copy = *a;
                look_at(sptep, &copy);
        }
        return 0;
}

/* A page of entries that is thrown away, at the end of the VM at the latest: the last look. */
SEC("tp_btf/kvm_mmu_prepare_zap_page")
int BPF_PROG(table_zapped, struct kvm_mmu_page *sp)
{
        __u64 table = (__u64)BPF_CORE_READ(sp, spt);

        if (ahead_nr && BPF_CORE_READ_BITFIELD_PROBED(sp, role.level) == LEVEL_4K)
                bpf_loop(SPTES, look_at_entry, &table, 0);
        return 0;
}

/* Whoever works in the VM's address space, kernel threads, too. Before there is a VM: the processes that may become it. */
static int host_fault(unsigned long address, unsigned long error_code)
{
        __u64 mm = (__u64)current_mm();

        if (!mm || address >= USER_END)
                return 0;
        if (vm_mm ? mm == vm_mm : is_followed())
                tell(TRACE_HOST | (error_code & FAULT_WRITE ? TRACE_WRITE : 0), address >> PAGE_SHIFT, mm);
        return 0;
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(user_fault, unsigned long address, void *regs, unsigned long error_code)
{
        return host_fault(address, error_code);
}

SEC("tp_btf/page_fault_kernel")
int BPF_PROG(kernel_fault, unsigned long address, void *regs, unsigned long error_code)
{
        return host_fault(address, error_code);
}

SEC("tp_btf/kvm_pio")
int BPF_PROG(port, unsigned int direction, unsigned int number)
{
        if (serial_ns || direction != PIO_OUT || number != SERIAL_DATA || !is_our_vm())
                return 0;
        __sync_val_compare_and_swap(&serial_ns, 0, bpf_ktime_get_ns());
        return 0;
}

/* A command may be a script, a jailer, or become a daemon: its VM is in a child. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
        __u32 tgid = BPF_CORE_READ(child, tgid);
        __u8 kind = OFFSPRING;

        if (!follow || tgid == current_tgid() || !is_followed())
                return 0;
        if (bpf_map_update_elem(&followed, &tgid, &kind, BPF_NOEXIST) == 0)
                __sync_fetch_and_add(&offspring, 1);
        else
                __sync_fetch_and_add(&unfollowed, 1);
        return 0;
}

/* `live` counts down before this; of two threads that both find it 0 one finds the process still listed. Of the first process the
 * tracer learns in its own way that it has ended. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
        __u32 tgid = BPF_CORE_READ(task, tgid);
        __u8 *kind;

        if (!follow || BPF_CORE_READ(task, signal, live.counter) > 0)
                return 0;
        kind = bpf_map_lookup_elem(&followed, &tgid);
        if (kind && *kind == OFFSPRING && bpf_map_delete_elem(&followed, &tgid) == 0)
                __sync_fetch_and_sub(&offspring, 1);
        return 0;
}
