/* The balloon's two questions, until kvm/device/balloon.c answers them: a VM without one. */
#include "core/session.h"

#include <errno.h>

int session_balloon_set(struct session *s, uint64_t target_bytes)
{
        (void)s, (void)target_bytes;
        return -ENODEV;
}

int session_balloon_get(struct session *s, uint64_t *ret_bytes)
{
        (void)s, (void)ret_bytes;
        return -ENODEV;
}
