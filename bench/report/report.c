/* Where a result goes at the end of a bench. */
#include "bench/report/report.h"

#include "bench/model/result_json.h"
#include "bench/report/html.h"
#include "bench/verb.h"
#include "core/base/cleanup.h"
#include "core/base/fdio.h"

#include <errno.h>
#include <string.h>

typedef void (*writer)(FILE *to, const struct bench_result *r);

static int write_file(const char *word, const char *path, const struct bench_result *r, writer write)
{
        _cleanup_fclose_ FILE *f = fopen(path, "we");
        bool                   failed;

        if (!f)
                return bench_failed(word, "%s: %s", path, strerror(errno));
        write(f, r);
        errno = 0;
        failed = ferror(f) != 0;
        failed |= fclose(TAKE_PTR(f)) != 0;
        return failed ? bench_failed(word, "%s: %s", path, strerror(errno ? errno : EIO)) : BENCH_EXIT_OK;
}

int bench_outputs_check(const char *word, const struct bench_outputs *to)
{
        const char *const names[] = {"--json", "--html"}, *const paths[] = {to->json, to->html};

        for (size_t i = 0; i < 2; i++) {
                int r = !paths[i] || (i == 0 && strcmp(paths[i], "-") == 0) ? 0 : fd_may_write_file(paths[i]);

                if (r < 0)
                        return bench_failed(word, "%s %s: it could not be written: %s; nothing was measured", names[i], paths[i],
                                            strerror(-r));
        }
        return BENCH_EXIT_OK;
}

int bench_report(const char *word, const struct bench_result *r, const struct bench_outputs *to)
{
        struct bench_look look = bench_look_of(stdout);
        bool              json_out = to->json && strcmp(to->json, "-") == 0;
        int               status = BENCH_EXIT_OK, other = BENCH_EXIT_OK;

        if (json_out)
                bench_json_write(stdout, r);
        else
                bench_table_print(stdout, r, &look);
        if (to->json && !json_out)
                status = write_file(word, to->json, r, bench_json_write);
        if (to->html)
                other = write_file(word, to->html, r, bench_html_write);
        return status ? status : other;
}

static bool has_values(const struct bench_result *r)
{
        for (size_t i = 0; i < r->nr_groups; i++)
                for (size_t a = 0; a < r->groups[i].nr_arms; a++)
                        if (r->groups[i].arms[a].nr_metrics)
                                return true;
        return false;
}

int bench_report_stopped(const char *word, int signal, struct bench_result *r, const struct bench_outputs *to)
{
        int status;

        if (!signal)
                return bench_report(word, r, to);
        (void)bench_failed(word, "stopped by signal %d%s", signal,
                           has_values(r) ? "; what was measured until then:" : " before anything was measured");
        for (size_t i = 0; i < r->nr_groups; i++)
                bench_word_add(&r->groups[i], "The bench came to an end before its time (stopped by signal %d): %u rounds were asked for.",
                               signal, r->rounds);
        status = has_values(r) ? bench_report(word, r, to) : BENCH_EXIT_OK;
        return status ? status : 128 + signal;
}
