/* tests/support/need.h: what a test cannot do without. Where it lacks, the test is skipped with the reason, and under CI=true it
 * fails.
 * Owns:    nothing.
 * Threads: the test's own.
 * Blocks:  never. */
#pragma once

void need_lacks(const char *what, int error); /* what every other one ends in */
void need_kvm(void);               /* /dev/kvm opens for reading and writing */
void need_uffd(void);              /* a userfaultfd that also serves faults from kernel mode, as KVM's are */
void need_io_uring(void);
void need_loop(void);              /* /dev/loop-control opens: loop devices can be had */
void need_tap(void);               /* taps can be made, in a network namespace of the test's own: it is in there afterwards */
void need_file(const char *path);  /* can be read */
