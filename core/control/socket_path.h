/* core/control/socket_path.h: where the control socket of a named VM is.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <sys/socket.h>
#include <sys/un.h>

/* 0, or -EINVAL and what a name is: it becomes a file name. */
int control_name_is_good(const char *name, struct err *e);
/* Checks the name and fills the address of RUNTIME_DIR/NAME.sock. */
int control_address(const char *runtime_dir, const char *name, struct sockaddr_un *ret, struct err *e);
