/* Whoever cuts a mapped file cuts the guest's memory: that is noticed when it happens, not when the guest trips over it. */
#include "core/mapped_sources.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

int mapped_sources_watch(const struct page_map *map, int *ret_fd, struct err *e)
{
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        char path[64];

        if (fd < 0)
                return err_set(e, -errno, "inotify: %s", strerror(errno));
        for (size_t i = 0; i < map->nr_sources; i++) {
                snprintf(path, sizeof(path), "/proc/self/fd/%d", map->sources[i].fd);
                if (inotify_add_watch(fd, path, IN_MODIFY) < 0)
                        return err_set(e, -errno, "watch %s: %s", map->sources[i].name, strerror(errno));
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

void mapped_sources_drain(int fd)
{
        char events[4096];

        while (read(fd, events, sizeof(events)) > 0)
                ;
}

bool mapped_sources_shrunk(const struct page_map *map, struct err *e)
{
        for (size_t i = 0; i < map->nr_sources; i++) {
                const struct page_source *src = &map->sources[i];
                struct stat st;

                if (fstat(src->fd, &st) < 0 || (uint64_t)st.st_size >= src->size_bytes)
                        continue;
                err_bad(e, src->name, (uint64_t)st.st_size, "expected %llu bytes, found the end of the file; pages are lost: it was cut short while it was "
                        "mapped as guest RAM", (unsigned long long)src->size_bytes);
                e->kind = ERR_LOST;
                return true;
        }
        return false;
}
