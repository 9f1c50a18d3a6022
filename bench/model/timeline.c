/* The timeline of rouse(1), --timeline: "us gpa pages class", a line for neighbours that came together. */
#include "bench/model/timeline.h"

#include "core/base/cleanup.h"
#include "core/model/ledger.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)BENCH_DEMAND == (int)FAULT_DEMAND && (int)BENCH_ZERO == (int)FAULT_ZERO &&
              (int)BENCH_HOST == (int)FAULT_CLASSES, "the classes are the ledger's");

#define MAGIC   "# rouse timeline 1\n"
#define NOTHING "# nothing to log: "
#define DROPPED "# dropped: "

static int find_class(const char *name)
{
        for (int c = 0; c < FAULT_CLASSES; c++)
                if (strcmp(ledger_fault_name((enum fault_class)c), name) == 0)
                        return c;
        return -1;
}

/* A line that is no comment; false: it is not of this form. */
static bool take_line(const char *line, struct bench_arm *arm)
{
        struct bench_fault f = {0};
        char class[16];
        int end = 0, c;

        if (sscanf(line, "%" SCNu64 " 0x%" SCNx64 " %" SCNu32 " %15[a-z]%n", &f.t_us, &f.gpa, &f.pages, class, &end) != 4 ||
            strcmp(line + end, "\n"))
                return false;
        c = find_class(class);
        if (c < 0 || f.pages == 0)
                return false;
        f.fault_class = (uint8_t)c;
        bench_fault_add(arm, &f);
        return true;
}

static void take_comment(char *line, struct bench_arm *arm)
{
        char *missing = NULL;

        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, NOTHING, strlen(NOTHING)) == 0)
                bench_string_set(&arm->no_timeline, line + strlen(NOTHING));
        if (strncmp(line, DROPPED, strlen(DROPPED)) || strcmp(line, DROPPED "0 pages") == 0)
                return;
        if (asprintf(&missing, "%s found the log full and are missing", line + strlen(DROPPED)) >= 0)
                bench_string_set(&arm->no_timeline, missing);
        free(missing);
}

static int complain(char **ret_text, int r, const char *path, unsigned line, const char *what)
{
        if (asprintf(ret_text, "%s, line %u: %s", path, line, what) < 0)
                *ret_text = NULL;
        return r;
}

int bench_timeline_read(const char *path, struct bench_arm *arm, char **ret_text)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        _cleanup_free_ char *line = NULL;
        size_t cap = 0;
        int r = -errno;

        *ret_text = NULL;
        if (!f)
                return complain(ret_text, r, path, 1, strerror(-r));
        if (getline(&line, &cap, f) < 0 || strcmp(line, MAGIC))
                return complain(ret_text, -EBADMSG, path, 1, "expected '# rouse timeline 1'");
        for (unsigned n = 2; getline(&line, &cap, f) >= 0; n++) {
                if (line[0] == '#')
                        take_comment(line, arm);
                else if (!take_line(line, arm))
                        return complain(ret_text, -EBADMSG, path, n, "expected microseconds, 0xADDRESS, pages and a class");
        }
        return 0;
}
