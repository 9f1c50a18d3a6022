/* tools/libexec.h: verbs that are programs of their own, so that `rouse restore` need not link what they need (architecture.md).
 * Owns:    nothing.
 * Threads: main thread, while there is no other.
 * Blocks:  never: the program takes this process over. */
#pragma once

/* Becomes `rouse-VERB` (argv[0] is the verb), which stands beside the rouse that runs, or in ../libexec/rouse/ seen from there.
 * Returns an exit status, told, only when there is none or it cannot be started. */
int libexec_run(int argc, char **argv);
