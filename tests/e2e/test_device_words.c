/* What an option for a device does not mean is refused, with the word and what was expected. */
#include "tests/support/child.h"

#include <criterion/criterion.h>
#include <string.h>

struct row {
        const char *words[6]; /* behind "rouse" */
        const char *says;
};

static void check(const struct row *rows, size_t nr)
{
        for (size_t i = 0; i < nr; i++) {
                const char *argv[8] = {rouse_program()};
                struct child c;

                for (size_t k = 0; k < 6; k++)
                        argv[k + 1] = rows[i].words[k];
                c = child_run(10000, argv);
                cr_expect_eq(c.status, 2, "%s %s: exit %d", rows[i].words[1], rows[i].words[2], c.status);
                cr_expect(strstr(c.err, rows[i].says), "%s %s: expected '%s' in: %s", rows[i].words[1], rows[i].words[2],
                          rows[i].says, c.err);
                child_free(&c);
        }
}

Test(device_words, an_unknown_word_of_run_is_named)
{
        static const struct row rows[] = {
                {{"run", "--disk", ",readonly"}, "no FILE"},
                {{"run", "--disk", "a,readonly,colour=red"}, "'colour=red'"},
                {{"run", "--disk", "a,direct=maybe"}, "on or off, found 'direct=maybe'"},
                {{"run", "--disk", "a,serial=twenty-one characters"}, "up to 20 characters"},
                {{"run", "--net", "mac=52:54:00:12:34:56"}, "tap=NAME"},
                {{"run", "--net", "tap=a,mac=52:54:00:12:34:5g"}, "52:54:00:12:34:5g"},
                {{"run", "--net", "tap=a,mac=53:54:00:12:34:56"}, "no group's"},
                {{"run", "--net", "tap=a_name_of_too_many"}, "15 characters"},
                {{"run", "--vsock", "cid=2,path=s"}, "3 to 4294967294"},
                {{"run", "--vsock", "cid=3"}, "path="},
                {{"run", "--console", "tcp=1"}, "unix=... or file=..., found 'tcp=1'"},
                {{"run", "--serial", "file="}, "file=PATH"},
        };

        check(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(device_words, a_slot_that_is_not_there_is_named)
{
        static const struct row rows[] = {
                {{"restore", "x", "--disk", "image.raw"}, "N=FILE with N from 0 to 3, found 'image.raw'"},
                {{"restore", "x", "--disk", "4=image.raw"}, "'4=image.raw'"},
                {{"restore", "x", "--net", "2=tap=t"}, "slot 2 is a disk's"},
                {{"restore", "x", "--device", "5=rng"}, "6 to 10"},
                {{"restore", "x", "--device", "6=sound"}, "'sound'"},
                {{"restore", "x", "--device", "6=rng,path=x"}, "nothing more, found 'path=x'"},
                {{"restore", "x", "--device", "6=console,listen"}, "path=PATH"},
        };

        check(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(device_words, a_second_device_for_one_slot_is_refused)
{
        static const struct row rows[] = {
                {{"restore", "x", "--disk", "0=a", "--disk", "0=b"}, "slot 0: expected one option for it, found a second"},
                {{"restore", "x", "--net", "4=tap=a", "--net", "0=none"}, "slot 4: expected one"},
                {{"restore", "x", "--device", "6=rng", "--device", "6=balloon"}, "slot 6: expected one"},
                {{"restore", "x", "--vsock", "path=a", "--vsock", "path=b"}, "found a second"},
                {{"run", "--rng", "--rng"}, "found a second"},
        };

        check(rows, sizeof(rows) / sizeof(rows[0]));
}
