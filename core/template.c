/* One template for all restores of a snapshot by one user. */
#include "core/template.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/uapi.h"
#include "core/base/unix_listen.h"
#include "core/huge_pool.h"
#include "core/template_holders.h"
#include "core/template_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define BACKLOG 64
#define ASK_AGAIN 8 /* times that whoever accepted may have been killed before it answered */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

struct template {
        struct template_head  head;
        int                   fds[TEMPLATE_FDS];
        void                 *room; /* the mapping that pages.view lies in */
        struct shared_pages   pages;
        struct template_offer offer;
        bool                  was_there;
        char                  runtime_dir[PATH_MAX], path[PATH_MAX]; /* "": not offered */
        char                  alone[200];
};

/* --- the memory --- */

static uint64_t memory_bytes(const struct template *t)
{
        return pages_to_bytes(t->head.nr_pages);
}

/* A bit per unit. */
static uint64_t bits_bytes(const struct template *t)
{
        return align_up(t->head.nr_pages / t->head.unit_pages / 8 + sizeof(uint64_t), PAGE_BYTES);
}

static int make_memfd(const char *name, uint64_t bytes, bool huge)
{
        _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));

        if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* What another process gave: nobody can cut it under us. */
static bool is_sealed(int fd, uint64_t bytes)
{
        struct stat st;
        int seals = fcntl(fd, F_GET_SEALS);

        return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 && (uint64_t)st.st_size == bytes;
}

static int make(struct template *t)
{
        t->fds[TEMPLATE_MEMORY] = make_memfd("rouse-template", memory_bytes(t), t->head.unit_pages > 1);
        t->fds[TEMPLATE_BITS] = make_memfd("rouse-template-bits", bits_bytes(t), false);
        return MIN(MIN(t->fds[TEMPLATE_MEMORY], t->fds[TEMPLATE_BITS]), 0);
}

/* The pool is asked for all that the VM will reserve: else what is refused is one mapping after the other. */
static int make_for(struct template *t, const struct template_ask *ask, struct err *e)
{
        uint64_t need = ask->private_bytes;
        int r;

        for (size_t i = 0; i < ask->nr_ranges; i++)
                need += pages_to_bytes(ask->ranges[i].nr_pages);
        r = ask->huge ? huge_pool_check(need, e) : 0;
        if (r < 0)
                return r;
        r = make(t);
        return r < 0 ? err_host(e, r, "make a template of %llu pages: %s", (unsigned long long)ask->nr_pages, strerror(-r)) : 0;
}

/* The ranges of the view are reserved (huge pages): the others are never put there. */
static int map(struct template *t, const struct template_ask *ask, struct err *e)
{
        uint64_t need = 0;
        void *view = mmap(NULL, memory_bytes(t) + HUGE_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        void *bits = mmap(NULL, bits_bytes(t), PROT_READ | PROT_WRITE, MAP_SHARED, t->fds[TEMPLATE_BITS], 0);

        t->pages = (struct shared_pages){.nr_pages = t->head.nr_pages, .unit_pages = t->head.unit_pages};
        if (view != MAP_FAILED)
                t->room = view;
        if (bits != MAP_FAILED)
                t->pages.bits = bits;
        if (view == MAP_FAILED || bits == MAP_FAILED)
                return err_host(e, -ENOMEM, "map the template of %llu pages: no address space",
                                (unsigned long long)t->head.nr_pages);
        t->pages.view = (uint8_t *)align_up((uint64_t)view, HUGE_PAGE_BYTES);
        for (size_t i = 0; i < ask->nr_ranges; i++) {
                const struct pager_range *r = &ask->ranges[i];
                uint64_t offset = pages_to_bytes(r->first_page), bytes = pages_to_bytes(r->nr_pages);

                need += bytes;
                if (mmap(t->pages.view + offset, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, t->fds[TEMPLATE_MEMORY], (off_t)offset) == MAP_FAILED)
                        return ask->huge ? huge_pool_refuse(need, e) : err_host(e, -errno, "map the template, %llu bytes: %s",
                                                                                (unsigned long long)bytes, strerror(errno));
        }
        return 0;
}

/* --- others --- */

/* Its name is short: the path of a socket has 107 characters. */
static bool name_socket(const struct template_ask *ask, char *ret, size_t size)
{
        XXH128_hash_t h = XXH3_128bits(ask->identity->s, strlen(ask->identity->s));
        int n = snprintf(ret, size, "%s/template-%016llx%016llx-%s%s.sock", ask->runtime_dir, (unsigned long long)h.high64, (unsigned long long)h.low64,
                         ask->huge ? "2m" : "4k", ask->verified ? "" : "-unverified");

        return n > 0 && (size_t)n < size;
}

/* Held until it is closed, so that of two first ones one is the second. make_it: O_CREAT, or 0; operation: of flock(2). */
static int lock(const char *runtime_dir, int make_it, int operation)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        int r = make_it ? fd_make_dirs(runtime_dir, 0700) : 0;

        if (r < 0)
                return r;
        if (asprintf(&path, "%s/templates.lock", runtime_dir) < 0)
                return -ENOMEM;
        fd = open(path, O_RDWR | make_it | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || flock(fd, operation) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static void close_fds(struct template *t)
{
        for (int i = 0; i < TEMPLATE_FDS; i++) {
                if (t->fds[i] >= 0)
                        close(t->fds[i]);
                t->fds[i] = -1;
        }
}

static int ask_others(struct template *t, const char *path)
{
        int r = -EAGAIN;

        for (int i = 0; i < ASK_AGAIN && r == -EAGAIN; i++)
                r = template_ask_for(path, &t->head, t->fds);
        if (r < 0)
                return r;
        if (is_sealed(t->fds[TEMPLATE_MEMORY], memory_bytes(t)) && is_sealed(t->fds[TEMPLATE_BITS], bits_bytes(t)))
                return 0;
        close_fds(t);
        return -EPROTO;
}

static int listen_for_others(struct template *t, const char *path)
{
        struct err e = {0};
        int fd = unix_listen(path, BACKLOG, &e);

        if (fd >= 0)
                t->fds[TEMPLATE_LISTEN] = fd;
        return MIN(fd, 0);
}

/* Another one's template, or one that others can find. Where neither works the VM has one for itself, and that is said. */
static int find_or_offer(struct template *t, const struct template_ask *ask)
{
        char path[PATH_MAX];
        _cleanup_close_ int lock_fd = -1;
        int r;

        if (!name_socket(ask, path, sizeof(path)))
                return -ENAMETOOLONG;
        lock_fd = r = lock(ask->runtime_dir, O_CREAT, LOCK_EX);
        if (r < 0)
                return r;
        r = ask_others(t, path);
        t->was_there = r == 0;
        if (r == -ENOENT)
                r = listen_for_others(t, path);
        if (r < 0)
                return r;
        snprintf(t->runtime_dir, sizeof(t->runtime_dir), "%s", ask->runtime_dir); /* shorter than path, which it begins */
        memcpy(t->path, path, sizeof(t->path));
        return 0;
}

static int offer(struct template *t)
{
        return t->fds[TEMPLATE_LISTEN] < 0 ? 0 : template_begin_offering(&t->offer, &t->head, t->fds);
}

/* It has nothing yet. */
static struct template *new_template(const struct template_ask *ask)
{
        struct template *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->head = (struct template_head){.magic = "rousetp", .nr_pages = ask->nr_pages, .unit_pages = ask->huge ? HUGE_PAGE_BYTES / PAGE_BYTES : 1};
        for (int i = 0; i < TEMPLATE_FDS; i++)
                t->fds[i] = -1;
        return t;
}

int template_find(const struct template_ask *ask, struct template **ret, struct err *e)
{
        struct template *t = new_template(ask);
        int r;

        if (!t)
                return err_set(e, -ENOMEM, "no memory for a template");
        r = ask->runtime_dir ? find_or_offer(t, ask) : 0;
        if (r < 0)
                snprintf(t->alone, sizeof(t->alone), "the snapshot's memory is not shared with other restores: %s: %s", ask->runtime_dir,
                         r == -ETIMEDOUT ? "who has it does not answer" : strerror(-r));
        r = t->was_there ? 0 : make_for(t, ask, e);
        if (r >= 0)
                r = map(t, ask, e);
        if (r >= 0 && (r = offer(t)) < 0)
                err_set(e, r, "offer the template: %s", strerror(-r));
        if (r < 0) {
                template_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

const char *template_alone(const struct template *t)
{
        return t->alone[0] ? t->alone : NULL;
}

bool template_was_there(const struct template *t)
{
        return t->was_there;
}

int template_fd(const struct template *t)
{
        return t->fds[TEMPLATE_MEMORY];
}

const struct shared_pages *template_pages(const struct template *t)
{
        return &t->pages;
}

/* Whoever is the last to have the template takes its socket file along. Where somebody is just looking for one he finds out by
 * himself that nobody listens: then nothing is waited for. Its descriptors are closed. */
static void remove_socket(const struct template *t)
{
        _cleanup_close_ int lock_fd = t->path[0] ? lock(t->runtime_dir, O_CREAT, LOCK_EX | LOCK_NB) : -1;

        if (lock_fd >= 0 && !template_is_offered(t->path))
                unlink(t->path);
}

void template_free(struct template *t)
{
        if (!t)
                return;
        template_stop_offering(&t->offer);
        close_fds(t);
        remove_socket(t);
        if (t->room) /* the mappings of the template within it, too */
                munmap(t->room, memory_bytes(t) + HUGE_PAGE_BYTES);
        if (t->pages.bits)
                munmap((void *)t->pages.bits, bits_bytes(t));
        free(t);
}

/* --- looking --- */

static uint64_t count_bits(const struct template *t)
{
        uint64_t words[512], bits = 0;
        ssize_t n;

        for (uint64_t at = 0; at < bits_bytes(t); at += (uint64_t)n) {
                n = pread(t->fds[TEMPLATE_BITS], words, sizeof(words), (off_t)at);
                if (n < (ssize_t)sizeof(words[0]))
                        break;
                for (size_t i = 0; i < (size_t)n / sizeof(words[0]); i++)
                        bits += (uint64_t)__builtin_popcountll(words[i]);
        }
        return bits;
}

static void look(const struct template *t, struct template_sight *ret)
{
        struct stat st;

        *ret = (struct template_sight){.lives = true, .present_pages = count_bits(t) * t->head.unit_pages};
        if (fstat(t->fds[TEMPLATE_MEMORY], &st) == 0)
                ret->memory_bytes = (uint64_t)st.st_blocks * 512;
        ret->nr_holders = template_holders(t->fds[TEMPLATE_MEMORY], ret->holders, TEMPLATE_HOLDERS_SHOWN);
}

/* While we look we have it. The lock keeps others from looking for one, and from removing its socket file: where the last of them
 * ended meanwhile that is left to us. */
static int look_at_others(struct template *t, const struct template_ask *ask, struct template_sight *ret)
{
        _cleanup_close_ int lock_fd = -1;
        char path[PATH_MAX];
        int r;

        if (!name_socket(ask, path, sizeof(path)))
                return -ENAMETOOLONG;
        lock_fd = lock(ask->runtime_dir, 0, LOCK_EX);
        if (lock_fd < 0 && lock_fd != -ENOENT) /* somebody may have removed it: a restore would make it anew */
                return lock_fd;
        r = ask_others(t, path);
        if (r < 0)
                return r;
        look(t, ret);
        close_fds(t);
        if (lock_fd >= 0 && !template_is_offered(path))
                unlink(path);
        return 0;
}

int template_look(const struct template_ask *ask, struct template_sight *ret)
{
        struct template_sight sight = {0};
        struct template *t = new_template(ask);
        int r = t ? 0 : -ENOMEM;

        if (r == 0 && ask->runtime_dir)
                r = look_at_others(t, ask, &sight);
        free(t);
        if (r < 0 && r != -ENOENT) /* nobody listens, or nobody ever did */
                return r;
        *ret = sight;
        return 0;
}
