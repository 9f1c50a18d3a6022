/* A list of arms. */
#include "bench/run/arm.h"

#include "core/base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
        if (!p) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
        return p;
}

struct arm *arm_list_add(struct arm_list *l, const struct arm_ops *ops, const char *name, const char *what)
{
        struct arm *a;

        if (l->nr == ARMS_MAX)
                return NULL;
        a = &l->v[l->nr++];
        *a = (struct arm){.ops = ops, .name = need(strdup(name)), .what = need(strdup(what))};
        return a;
}

void arm_add_path(struct arm *a, const char *path)
{
        a->paths = need(realloc(a->paths, (a->nr_paths + 1) * sizeof(*a->paths)));
        a->paths[a->nr_paths++] = need(strdup(path));
}

void arm_list_free(struct arm_list *l)
{
        for (size_t i = 0; i < l->nr; i++) {
                struct arm *a = &l->v[i];

                if (a->ops->cleanup)
                        a->ops->cleanup(a);
                for (size_t k = 0; k < a->nr_paths; k++)
                        free(a->paths[k]);
                free(a->paths);
                free(a->name);
                free(a->what);
        }
        l->nr = 0;
}
