/* core/base/cleanup.h: what a scope owns is given back when the scope ends.
 * Owns:    nothing itself; the attribute frees the variable it stands on.
 * Threads: any.
 * Blocks:  only where close(2) or fclose(3) does. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_free(void *p)
{
        free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
        if (*f)
                fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
        if (*d)
                closedir(*d);
}

#define _cleanup_free_     _cleanup_(cleanup_free)
#define _cleanup_close_    _cleanup_(cleanup_close)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

/* Give an owned thing away: the variable is emptied, its cleanup does nothing. */
#define TAKE_FD(fd)                     \
        ({                              \
                int taken_fd_ = (fd);   \
                (fd) = -1;              \
                taken_fd_;              \
        })
#define TAKE_PTR(p)                          \
        ({                                   \
                __typeof__(p) taken_p_ = (p); \
                (p) = NULL;                  \
                taken_p_;                    \
        })
