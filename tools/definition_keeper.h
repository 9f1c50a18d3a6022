/* tools/definition_keeper.h: a named VM's definition is kept when it runs, for `rouse start`.
 * Owns:    a descriptor while the session runs.
 * Threads: session thread.
 * Blocks:  on the file system, while the guest runs already.
 *
 * As hooks of struct front: fill in what the VM is made of, then definition_keep. */
#pragma once

#include "tools/front.h"

struct definition_keeper {
        struct front *front;
        const char   *kernel, *initrd, *append; /* of a boot */
        const char   *restored_from;            /* of a restore */
        /* definition_keep's own */
        const struct session_options *common;
        int                           event_fd;
        struct session               *session;
};

/* Sets the front's hooks. Both must live until front_run has returned. */
void definition_keep(struct definition_keeper *k, const struct session_options *common);
