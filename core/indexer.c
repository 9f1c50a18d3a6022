/* The first restore of a foreign snapshot pays nothing for its zero pages: a thread at idle priority looks for them beside the
 * guest. */
#include "core/indexer.h"

#include "core/base/thread.h"
#include "formats/page_index.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct indexer {
        /* set before start, then read-only */
        const struct snapshot *snap;
        const char            *data_dir;
        pthread_t              thread;
        /* atomic */
        atomic_bool stop;
        atomic_bool ended; /* release: pairs with the acquire in indexer_ended; err is complete before it */
        struct err  err;
};

static void *indexer_thread(void *arg)
{
        struct indexer *i = arg;
        struct sched_param idle = {0};
        struct page_map found = {0};
        int r;

        /* Only a matter of politeness: where it is not allowed, the work is done at normal priority. */
        pthread_setschedparam(pthread_self(), SCHED_IDLE, &idle);
        r = page_index_build(&i->snap->pages, &i->stop, &found, &i->err);
        if (r >= 0)
                page_index_write_data_dir(i->data_dir, &i->snap->identity, &found, &i->err);
        page_map_free(&found);
        atomic_store_explicit(&i->ended, true, memory_order_release);
        return NULL;
}

int indexer_start(const struct snapshot *s, const char *data_dir, struct indexer **ret, struct err *e)
{
        struct indexer *i = calloc(1, sizeof(*i));
        int r;

        if (!i)
                return err_set(e, -ENOMEM, "no memory for the page index");
        i->snap = s;
        i->data_dir = data_dir;
        r = thread_start(&i->thread, indexer_thread, i);
        if (r < 0) {
                free(i);
                return err_set(e, r, "thread for the page index: %s", strerror(-r));
        }
        *ret = i;
        return 0;
}

bool indexer_ended(const struct indexer *i, struct err *ret)
{
        if (!atomic_load_explicit(&i->ended, memory_order_acquire))
                return false;
        *ret = i->err;
        return true;
}

void indexer_free(struct indexer *i)
{
        if (!i)
                return;
        atomic_store_explicit(&i->stop, true, memory_order_relaxed); /* relaxed: it carries nothing but itself */
        pthread_join(i->thread, NULL);
        free(i);
}
