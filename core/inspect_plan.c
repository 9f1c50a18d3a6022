/* The same steps as a restore's, up to where something would be made. */
#include "core/inspect_plan.h"

#include "core/huge_pool.h"
#include "core/plan_snapshot.h"
#include "core/probe.h"

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
