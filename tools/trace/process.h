/* tools/trace/process.h: whose VM is traced: a process that runs, or a command that is started for it and held until all is
 * armed.
 * Owns:    a descriptor of the process. process_free gives it back; the process itself is left alone, but for a command that was
 *          not let go.
 * Threads: main thread.
 * Blocks:  process_let_go until the command's program is loaded or is known not to be. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <signal.h>
#include <sys/types.h>

struct process {
        pid_t       pid;      /* 0: none */
        int         pidfd;    /* readable when it has ended */
        const char *command;  /* of one that was started here; NULL: it ran before */
        int         go_fd;    /* a byte lets the command go */
        int         result_fd; /* what became of exec: nothing, or an errno */
        char        name[16]; /* as the kernel calls it */
        bool        ended;
        int         status;   /* of a command that has ended: as a shell has it */
};

/* A process with a VM of KVM's. */
int process_attach(pid_t pid, struct process *ret, struct err *e);

/* argv[0] is looked for in PATH. It does nothing before process_let_go; signals are its caller's own again (mask). Without
 * huge_pages it and its children get none (but for hugetlbfs): a huge page is mapped whole at its first touch, and hides the
 * others in it. */
int process_start(char **argv, const sigset_t *mask, bool huge_pages, struct process *ret, struct err *e);
int process_let_go(struct process *p, struct err *e);

/* Has it ended? Remembers, and reaps a command. */
bool process_has_ended(struct process *p);

void process_free(struct process *p);
