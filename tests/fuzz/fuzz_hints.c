/* fuzz_hints: any bytes as a hints file are refused in one line, or they are hints that are written and read back as they are,
 * can be summed up, and, where they are of one recording, merged and judged by themselves. The checksums are made right first:
 * what lies behind them is of interest. Bytes: a header without its sums, then entries. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "core/model/hints_score.h"
#include "core/model/hints_summary.h"
#include "formats/hints_file.h"
#include "formats/table_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define RAM_PAGES_FUZZ (1ULL << 20) /* more would be the fuzzer's memory, not a finding */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
        if (!yes)
                abort();
}

static void check_message(int r, const struct err *e)
{
        must(r == -EBADMSG && e->kind == ERR_SNAPSHOT && strstr(e->text, "expected ") && !strchr(e->text, '\n'));
}

static void use(const struct hints *h)
{
        struct hints_named                                   named = { .file = "hints", .hints = *h };
        _cleanup_(hints_summary_free) struct hints_summary   sum = { 0 };
        _cleanup_(hints_foreseen_free) struct hints_foreseen f = { 0 };
        _cleanup_(hints_free) struct hints                   merged = { 0 };
        struct hints_score                                   s = { 0 };

        must(hints_summary_make(h, &sum) == 0 && sum.all.pages == h->nr && sum.all.runs <= h->nr);
        must(hints_foreseen_init(&f, &named, NULL, 0, NULL) == 0);
        must(hints_score_add(&named, hints_min_seen(h), &f, &named, &s, NULL) == 0);
        must(s.all.used == s.all.hinted && s.all.recalled == s.all.hinted && s.all.touched + s.all.touched_zero == h->nr);
        if (h->recordings != 1)
                return;
        must(hints_merge(&named, 1, 1, &merged, NULL) == 0 && merged.nr == h->nr);
        must(hints_check(&merged, "merged", NULL) == 0);
}

static void check_round_trip(const struct hints *h, const char *path)
{
        _cleanup_(hints_free) struct hints back = { 0 };

        must(hints_file_write_path(path, h, NULL) == 0);
        must(hints_file_read_path(path, &h->snapshot, h->ram_pages, &back, NULL) == 0);
        must(back.nr == h->nr && back.recordings == h->recordings && back.min_seen == h->min_seen);
        must(!h->nr || memcmp(back.v, h->v, h->nr * sizeof(*h->v)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char                               path[64];
        _cleanup_(hints_free) struct hints h = { 0 };
        _cleanup_free_ uint8_t            *bytes = NULL;
        struct table_header                head;
        struct err                         e = { 0 };
        int                                r;

        snprintf(path, sizeof(path), "/dev/shm/rouse-fuzz-hints-%d", (int)getpid()); /* one file, again and again */
        if (size < sizeof(head))
                return 0;
        memcpy(&head, data, sizeof(head));
        memcpy(head.magic, table_hints.magic, sizeof(head.magic));
        head.ram_pages %= RAM_PAGES_FUZZ;
        head.entries_sum = XXH3_64bits(data + sizeof(head), size - sizeof(head));
        head.header_sum = XXH3_64bits(&head, offsetof(struct table_header, header_sum));
        bytes = malloc(size);
        must(bytes != NULL);
        memcpy(bytes, &head, sizeof(head));
        memcpy(bytes + sizeof(head), data + sizeof(head), size - sizeof(head));
        must(fd_replace_file(AT_FDCWD, path, bytes, size, 0600) == 0);
        r = hints_file_read_any(path, &h, &e);
        if (r < 0) {
                check_message(r, &e);
                return 0;
        }
        use(&h);
        check_round_trip(&h, path);
        return 0;
}
