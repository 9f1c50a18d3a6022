/* core/host_dir.h: the file system and the device that a snapshot's directory is on.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  as long as the file system does; on one that hangs it hangs. */
#pragma once

#include "core/base/err.h"
#include "core/model/host_files.h"

#include <stdbool.h>
#include <stdint.h>

enum dir_kind {
        DIR_UNKNOWN,
        DIR_LOCAL,   /* on a disk of this host */
        DIR_MEMORY,  /* tmpfs, ramfs: is in RAM already */
        DIR_NETWORK,
        DIR_FUSE,    /* a process of this host answers each read */
};

struct host_dir {
        char          path[256];
        char          file[64];            /* what was tried: the largest regular file in it; "" where there is none */
        char          filesystem[32];      /* "ext4", "nfs4", "fuse.sshfs" */
        char          source[128];         /* "/dev/nvme0n1p2", "server:/export" */
        enum dir_kind kind;
        char          scheduler[HOST_WORD]; /* "none", "mq-deadline" */
        int64_t       rotational;          /* 0, 1, or HOST_UNKNOWN: no disk of this host */
        int64_t       read_ahead_bytes;
        bool          encrypted;           /* dm-crypt, itself or right below */
        int           direct, nowait;      /* O_DIRECT, RWF_NOWAIT: 0 or why not; ENODATA without a file to try them on */
};

/* An error only where path is no directory that can be opened. */
int host_dir_look(const char *path, struct host_dir *ret, struct err *e);

/* The part that reads files: root as in host_files_read; mount_id of statx(2). */
void host_dir_describe(const char *root, uint64_t mount_id, struct host_dir *d);
