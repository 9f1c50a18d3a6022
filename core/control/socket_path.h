/* core/control/socket_path.h: where the control socket of a named VM is.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <sys/socket.h>
#include <sys/un.h>

/* Checks the name and fills the address of RUNTIME_DIR/NAME.sock. */
int control_address(const char *runtime_dir, const char *name, struct sockaddr_un *ret, struct err *e);
