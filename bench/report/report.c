/* Where a result goes at the end of a bench. */
#include "bench/report/report.h"

#include "bench/model/result_json.h"
#include "bench/report/html.h"
#include "bench/verb.h"
#include "core/base/cleanup.h"

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
