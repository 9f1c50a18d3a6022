/* Whoever changes a mapped file changes the guest's memory: that is noticed when it happens, not when the guest trips over it. */
#include "core/mapped_sources.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

int mapped_sources_watch(const struct plan *plan, const struct page_map *map, int *ret_fd)
{
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        char path[64];

        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < map->nr_sources; i++) {
                if (!plan_maps_source(plan, map, i))
                        continue;
                snprintf(path, sizeof(path), "/proc/self/fd/%d", map->sources[i].fd);
                if (inotify_add_watch(fd, path, IN_MODIFY) < 0)
                        return -errno;
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

bool mapped_sources_changed(const struct plan *plan, const struct page_map *map, struct err *e)
{
        for (size_t i = 0; i < map->nr_sources; i++) {
                const struct page_source *src = &map->sources[i];
                uint64_t size_bytes;

                if (!plan_maps_source(plan, map, i) || !page_source_is_changed(src, &size_bytes))
                        continue;
                if (size_bytes < src->size_bytes)
                        err_bad(e, src->name, size_bytes,
                                "expected %llu bytes, found the end of the file; pages are lost: it was cut short while it was "
                                "mapped as guest RAM", (unsigned long long)src->size_bytes);
                else
                        err_bad(e, src->name, ERR_NO_OFFSET,
                                "expected the file as it was opened, found that it was written since; pages are lost: it must "
                                "not change while it is mapped as guest RAM");
                e->kind = ERR_LOST;
                return true;
        }
        return false;
}
