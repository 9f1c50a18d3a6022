/* --peer: to be read here. */
#include "bench/run/arm.h"

int peer_arm_add(struct arm_list *l, const char *file, struct err *e)
{
        (void)l;
        return err_usage(e, "--peer %s: this build has no peers yet", file);
}
