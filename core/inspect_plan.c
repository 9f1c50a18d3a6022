/* The same steps as a restore's, up to where something would be made. */
#include "core/inspect_plan.h"

#include "core/huge_pool.h"
#include "core/plan_snapshot.h"
#include "core/probe.h"
#include "formats/format.h"

/* It is not had, and not kept alive: a look. */
static void look_for_template(const struct snapshot *s, const struct restore_options *o, struct inspected_plan *p)
{
        struct template_ask ask = {.runtime_dir = o->runtime_dir, .identity = &s->identity, .nr_pages = s->pages.nr_pages,
                                   .huge = o->common.memory_backing == RAM_HUGETLB, .verified = o->verify && s->verifiable};

        p->shared = true;
        p->template_code = template_look(&ask, &p->template);
        if (p->template_code == 0 && p->template.lives)
                plan_has_already(&p->plan, p->template.memory_bytes);
}

static int check_size(const struct inspection *i, const struct restore_options *o, struct err *e)
{
        return o->common.memory_backing == RAM_HUGETLB ? huge_pool_check_size(pages_to_bytes(i->pages->nr_pages), e) : 0;
}

int inspect_plan(struct inspection *i, const struct restore_options *o, struct inspected_plan *ret, struct err *e)
{
        struct inspected_plan p = {0};
        struct host_caps caps;
        int r;

        host_probe_all(&caps);
        r = plan_snapshot(i->snapshot, o, &caps, &p.plan, &p.limits, e);
        if (r < 0)
                return r;
        if (o->mode == RESTORE_SHARED)
                look_for_template(i->snapshot, o, &p);
        if (host_require(&caps, p.plan.nr_served > 0, &p.refused) >= 0 && check_size(i, o, &p.refused) >= 0)
                (void)plan_check(&p.plan, &p.limits, &p.refused);
        *ret = p;
        return 0;
}

void inspect_plan_close(struct inspected_plan *p)
{
        plan_free(&p->plan);
        *p = (struct inspected_plan){0};
}
