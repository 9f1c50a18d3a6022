/* rouse hints show: a table of what is in hints, and a picture. */
#include "tools/hints_words.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "core/hints_load.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"plot", required_argument, NULL, 'p'},
        CLI_LAST_OPTIONS,
};

static const char *plural(uint32_t n)
{
        return n == 1 ? "" : "s";
}

static void print_phase(const char *name, const struct hints_phase_summary *p)
{
        char written[16], differs[16], zero[16], first[24] = "-", last[24] = "-";

        if (p->pages) {
                snprintf(first, sizeof(first), "%.3f", (double)p->first_us / 1000);
                snprintf(last, sizeof(last), "%.3f", (double)p->last_us / 1000);
        }
        printf("%-10s%9" PRIu64 "%9.2f%8" PRIu64 "%9s%9s%9s%12s%12s\n", name, p->pages,
               (double)pages_to_bytes(p->pages) / (double)MIB, p->runs,
               hints_percent(written, p->written, p->pages), hints_percent(differs, p->differs, p->pages),
               hints_percent(zero, p->zero_pages, p->pages), first, last);
}

static void print_text(const char *path, const struct hints *h, const struct hints_summary *s)
{
        printf("hints      %s\nsnapshot   %s\nmemory     %" PRIu64 " MiB, %" PRIu64 " pages\nrecordings %" PRIu32 "\n"
               "replayed   %" PRIu64 " pages, those seen in %" PRIu32 " recording%s or more\n\n"
               "              pages      MiB    runs  written  differs     zero    first ms     last ms\n",
               path, h->snapshot.s, pages_to_bytes(h->ram_pages) / MIB, h->ram_pages, h->recordings, s->kept, hints_min_seen(h),
               plural(hints_min_seen(h)));
        for (int p = 0; p < HINT_PHASES; p++)
                print_phase(hint_phase_name((enum hint_phase)p), &s->phase[p]);
        print_phase("all", &s->all);
        printf("\n");
        for (uint32_t n = h->recordings; n > 0; n--)
                if (s->seen[n])
                        printf("seen in %" PRIu32 " recording%s: %" PRIu64 " page%s\n", n, plural(n), s->seen[n],
                               s->seen[n] == 1 ? "" : "s");
}

static struct json_object *phase_json(const char *name, const struct hints_phase_summary *p)
{
        struct json_object *o = json_object_new_object();

        if (name)
                json_add_str(o, "phase", name);
        json_add_u64(o, "pages", p->pages);
        json_add_u64(o, "bytes", pages_to_bytes(p->pages));
        json_add_u64(o, "runs", p->runs);
        json_add_u64(o, "written", p->written);
        json_add_u64(o, "differs", p->differs);
        json_add_u64(o, "zero", p->zero_pages);
        if (p->pages) {
                json_add_u64(o, "first_us", p->first_us);
                json_add_u64(o, "last_us", p->last_us);
        }
        return o;
}

static void print_json(const char *path, const struct hints *h, const struct hints_summary *s)
{
        struct json_object *o = json_object_new_object(), *phases = json_object_new_array(), *seen = json_object_new_array();

        json_add_str(o, "file", path);
        json_add_str(o, "identity", h->snapshot.s);
        json_add_u64(o, "memory_bytes", pages_to_bytes(h->ram_pages));
        json_add_u64(o, "recordings", h->recordings);
        json_add_u64(o, "min_seen", hints_min_seen(h));
        json_add_u64(o, "replayed", s->kept);
        for (int p = 0; p < HINT_PHASES; p++)
                json_object_array_add(phases, phase_json(hint_phase_name((enum hint_phase)p), &s->phase[p]));
        json_object_object_add(o, "phases", phases);
        json_object_object_add(o, "all", phase_json(NULL, &s->all));
        for (uint32_t n = 1; n <= h->recordings; n++) {
                struct json_object *x;

                if (!s->seen[n])
                        continue;
                x = json_object_new_object();
                json_add_u64(x, "recordings", n);
                json_add_u64(x, "pages", s->seen[n]);
                json_object_array_add(seen, x);
        }
        json_object_object_add(o, "seen", seen);
        printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
        json_object_put(o);
}

static int plot(const char *to, const char *path, const struct hints *h, const struct hints_summary *s, struct err *e)
{
        _cleanup_fclose_ FILE *f = fopen(to, "we");

        if (!f)
                return err_set(e, -errno, "%s: %s", to, strerror(errno));
        if (hints_plot(f, h, s, path) < 0)
                return err_set(e, -ENOMEM, "no memory for a picture of %zu hints", h->nr);
        if (fflush(f) != 0 || ferror(f))
                return err_set(e, -errno, "write %s: %s", to, strerror(errno));
        return 0;
}

static int show(const char *path, bool json, const char *plot_to)
{
        _cleanup_(hints_summary_free) struct hints_summary s = {0};
        _cleanup_(hints_free) struct hints h = {0};
        char data_dir[4096];
        struct err err = {0};
        int r = hints_load(path, cli_data_dir(data_dir, sizeof(data_dir)), &h, &err);

        if (r >= 0 && hints_summary_make(&h, &s) < 0)
                r = err_set(&err, -ENOMEM, "no memory for %zu hints", h.nr);
        if (r >= 0 && plot_to)
                r = plot(plot_to, path, &h, &s, &err);
        if (r < 0)
                return cli_fail(&err);
        if (json)
                print_json(path, &h, &s);
        else
                print_text(path, &h, &s);
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        const char *plot_to = NULL;
        bool json = false;
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&hints_word_show, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                if (c == 'p')
                        plot_to = optarg;
                json |= c == 'j';
        }
        if (argc - optind != 1)
                return cli_usage("hints show", "expected one FILE or DIR, found %d words", argc - optind);
        return show(argv[optind], json, plot_to);
}

const struct verb hints_word_show = {
        .name = "hints show",
        .summary = "what is in hints, as a table and as a picture",
        .help = "usage: rouse hints show FILE|DIR [--json] [--plot FILE.svg]\n\n"
                "Shows a recording, merged hints, or the hints that a restore of the snapshot DIR would find by itself:\n"
                "phase by phase (until the guest's first answer, T3; until its first useful work, T4; later) pages, bytes,\n"
                "runs of neighbours, and of the pages how many were first touched by a write, how many had other bytes\n"
                "at the end, how many are zero in the snapshot; and in how many recordings pages were seen.\n"
                "A page that differs though it was not written first was read first: such a page is better copied than\n"
                "mapped or shared.\n\n"
                "  --json           one JSON document\n"
                "  --plot FILE.svg  a picture: when each page was first touched, over its place in memory\n\n"
                "example: rouse hints show /srv/snapshots/web --plot /tmp/web.svg\n",
        .run = run,
};
