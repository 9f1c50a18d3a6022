/* kvm/virtio/device.h: what a virtio device is to its transport and to the VM, and what they are to it.
 * Owns:    a device owns its queues and, while the driver uses it, one worker thread; files below it are its kind's.
 * Threads: an active device has a worker thread of its own, so that no device waits for another: begin, kicked, ready, drain
 *          and end run there. Config space is read and written on vCPU threads. new, load, save, free: session thread, worker
 *          parked or absent. The worker may fault on an absent page like a vCPU: the pager serves it and never waits for it.
 * Blocks:  virtio_device_park until the device has nothing in flight.
 *
 * A device knows neither transport nor machine nor format. Its life:
 *
 *   new ─► (load) ─► activate ─► begin ─► kicked, ready ... ─► drain ─► parked ─► resumed ... ─► end ─► reset: as new
 *            restored: what was active is begun when the VM first runs, and every queue is kicked once
 */
#pragma once

#include "core/base/err.h"
#include "core/model/device_config.h"
#include "core/model/mem_layout.h"
#include "core/model/virtio_state.h"
#include "kvm/virtio/queue.h"

#include <pthread.h>
#include <stdatomic.h>

/* Feature bits that are not of a kind (virtio 1.2, section 6). */
#define VIRTIO_F_INDIRECT_DESC (1ULL << 28)
#define VIRTIO_F_EVENT_IDX     (1ULL << 29)
#define VIRTIO_F_VERSION_1     (1ULL << 32)

/* One per VM, set before the first device is made. */
struct virtio_env {
        const struct mem_layout *layout;
        void                    *arg;
        /* The guest gave [gpa, gpa + len) back: it reads zeros from now on, in every restore mode. Whole pages. Worker
         * threads. */
        void (*discard)(void *arg, gpa_t gpa, uint64_t len_bytes);
        /* One line for the user. Any thread. */
        void (*message)(void *arg, const char *text);
        /* No vCPU will run again and what it or a device still reads from guest RAM may be wrong: nothing may leave the VM any
         * more. Release by vm_condemn, acquire by virtio_fetch. */
        _Atomic bool condemned;
        /* Every page is there: nothing can be lost any more. Relaxed: a hint that saves system calls; it never changes back. */
        _Atomic bool settled;
};

struct virtio_device;

struct virtio_ops {
        enum virtio_kind kind;
        /* vCPU threads, under the transport's lock, also while the worker runs. len 1, 2, 4 or 8; bytes past the end read as
         * zeros. */
        void (*read_config)(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len);
        void (*write_config)(struct virtio_device *d, uint32_t offset, const uint8_t *data, uint32_t len); /* NULL: ignored */
        /* Worker thread. d->features and the queues are final until end. An error is told to the guest (NEEDS_RESET) and to
         * the user. */
        int (*begin)(struct virtio_device *d, struct err *e);
        /* The driver rang this queue's bell, once or more; only queues that it made. */
        void (*kicked)(struct virtio_device *d, uint16_t queue);
        /* A descriptor of virtio_watch has these EPOLL events. */
        void (*ready)(struct virtio_device *d, int fd, uint32_t events); /* NULL: none is watched */
        /* Leaves nothing in flight: every popped chain was pushed and flushed, or given back. Before each park, and before
         * end. */
        void (*drain)(struct virtio_device *d); /* NULL: nothing ever is */
        void (*end)(struct virtio_device *d);   /* NULL: nothing to do. The driver resets the device. Closes what begin opened */
        /* Session thread, worker parked. What is the kind's own: u and, where it matters, nothing else; the rest is filled
         * already. -EOPNOTSUPP with text: this device cannot be saved as it is. */
        int (*save)(struct virtio_device *d, struct virtio_state *ret, struct err *e);
        /* Session thread, any time, also beside the worker: what was answered as done lasts, whatever happens to the host. NULL:
         * there is nothing outside the VM that could be lost. */
        int (*sync)(struct virtio_device *d, struct err *e);
        /* Session thread, before the VM runs. Features, queues, status are loaded already. Checks what it takes (ERR_SNAPSHOT).
         * May be NULL where new took all it needs from `saved`. */
        int (*load)(struct virtio_device *d, const struct virtio_state *s, struct err *e);
        void (*free)(struct virtio_device *d);
};

struct virtio_worker;

/* The head of every device's own struct: it stands first there. */
struct virtio_device {
        /* set by virtio_device_init, then read-only */
        const struct virtio_ops *ops;
        struct virtio_env       *env;
        uint64_t                 offered; /* feature bits */
        uint16_t                 nr_queues;
        struct virtqueue        *queues[VIRTIO_QUEUES_MAX];
        _Atomic uint32_t         nr_messages; /* relaxed: a number of its own */
        /* set by whoever makes the VM */
        uint32_t slot;
        char     what[48]; /* "disk in slot 0", for messages */
        /* set by the transport at activation, read-only until the reset */
        uint64_t features; /* accepted */
        /* the transport's hooks, set when it takes the device; any thread */
        void *transport;
        void (*interrupt)(void *transport, bool config); /* queue (false) or configuration (true) */
        void (*needs_reset)(void *transport);
        void (*serving)(void *transport); /* worker thread, once it has begun: time for what costs KVM calls; may be NULL */
        /* Relaxed: says no more than that the guest broke its protocol; what follows from it goes by the hooks. */
        _Atomic bool broken;
        /* Written under lock by the thread that activates and resets; read by the worker, by that thread, and under lock by
         * others. */
        struct virtio_worker *worker; /* NULL while inactive */
        pthread_mutex_t       lock;
};

/* Makes the queues: max_sizes[nr_queues] entries each. saved != NULL: offered is saved->device_features and must be a subset of
 * `offered` (what the kind can do), else ERR_SNAPSHOT with the bits; VERSION_1 is always offered. Called by a kind's new. */
int  virtio_device_init(struct virtio_device *d, const struct virtio_ops *ops, struct virtio_env *env, uint64_t offered,
                        uint16_t nr_queues, const uint16_t *max_sizes, const struct virtio_state *saved, struct err *e);
void virtio_device_fini(struct virtio_device *d); /* by a kind's free, last */

/* Of a kind: c says what stands behind it; saved is NULL for a new device, else what the snapshot holds, of the same kind. c
 * may lack a backend (path, tap): such a disk fails every request, such a card has no cable. A mismatch between the two
 * (capacity) is refused: ERR_SNAPSHOT, with both values and the option to change. */
struct virtio_maker {
        enum virtio_kind kind;
        int (*new)(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                   struct virtio_device **ret, struct err *e);
};
/* kvm/device/, one each */
extern const struct virtio_maker blk_maker, net_maker, console_maker, rng_maker, balloon_maker, vsock_maker;
/* NULL: no such kind. */
const struct virtio_maker *virtio_maker_find(enum virtio_kind kind);

/* --- for devices, on the worker thread --- */

/* Flushes what was pushed and interrupts the driver if it wants that. */
void virtio_notify(struct virtio_device *d, uint16_t queue);
/* One line for the user, which begins with what the device is. At most VIRTIO_MESSAGES_MAX of a device's, whatever its guest does
 * to provoke them: a terminal is no place to flood. Any thread. */
#define VIRTIO_MESSAGES_MAX 16
void virtio_say(struct virtio_device *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The guest broke its protocol: the device stops until the driver resets it; the reason goes to the user, once. */
void virtio_broken(struct virtio_device *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Did it? Then pop nothing more. Any thread. */
bool virtio_is_broken(const struct virtio_device *d);
/* Can no page of RAM be missing any more? For kvm/virtio/ram_copy.h. Any thread. */
bool virtio_is_settled(const struct virtio_device *d);
/* Events of fd (EPOLLIN, EPOLLOUT, ...) come as ops->ready, level-triggered; the same fd again: its events change. 0 or
 * -errno. */
int  virtio_watch(struct virtio_device *d, int fd, uint32_t events);
void virtio_unwatch(struct virtio_device *d, int fd);
/* Before bytes of the guest leave the VM (a disk write, a packet): brings their pages in. 0; -EFAULT when one is lost or the
 * VM was condemned meanwhile: then nothing may leave, as the bytes may be zeros that are none. */
int virtio_fetch(struct virtio_device *d, const struct iovec *iov, size_t nr);
/* pop with the errors dealt with: 1 or 0; a broken ring is virtio_broken, a lost page stops the queue. */
int virtio_pop(struct virtio_device *d, uint16_t queue, struct virtq_chain *ret);

/* --- for devices, any thread --- */
void virtio_config_changed(struct virtio_device *d);

/* --- for the transport --- */

/* vCPU thread (or session thread, restored): starts the queues that are ready, then the worker. kicks[i]: an eventfd per queue
 * that the worker waits on; borrowed until virtio_device_reset. parked: the worker waits for virtio_device_resume, then serves
 * every ready queue once as if it had been kicked. -EPROTO with text where the guest's queues are no queues. */
int virtio_device_activate(struct virtio_device *d, uint64_t features, const int *kicks, bool parked, struct err *e);
/* drain, end, worker gone, queues reset. Also of an inactive one. */
void virtio_device_reset(struct virtio_device *d);

/* --- for the VM; session thread --- */
void virtio_device_ask_to_park(struct virtio_device *d); /* it begins to drain; virtio_device_park then waits for that */
void virtio_device_park(struct virtio_device *d);   /* drained, worker waits; nothing to do where there is none */
void virtio_device_resume(struct virtio_device *d); /* every ready queue counts as kicked */
