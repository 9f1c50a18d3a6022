/* vary: a guest that touches most of the same pages in every run, and a tenth of others by chance. Each tick it walks FIXED pages
 * that lie 16 apart, so that no fault brings two of them, and CHANCE others drawn by the time stamp counter; says "go" in the
 * middle, and a line at its end:
 *
 *   go
 *   TICK n nonce=.. walked=512 bad=0 cpus=1 stuck=0 irq=ok
 *
 * Fixed page k is touched as k % 4 says (tests/e2e/test_hints.c knows it, too):
 *   0  only read                        2  written first, with other bytes
 *   1  read, and written later          3  written with the bytes that it has
 *
 * Between ticks it sleeps some 200 ms: whoever saves it after a line finds it asleep, and what is replayed is there when it
 * wakes. */
#define FILL_PAGES 16384UL
#include "tests/guest/guest.h"

#define FIXED  900UL
#define CHANCE 100UL
#define SLEEP  50 /* timer interrupts of 4 ms */

static u64 fixed_page(u64 k) { return k * 16 + k * 7 % 16; }
static int is_fixed(u64 i) { return i / 16 < FIXED && fixed_page(i / 16) == i; }

static u64 touch(u64 k)
{
        u64 i = fixed_page(k), *p = page(i);

        switch (k % 4) {
        case 0:
                return !page_is_good(i);
        case 1:
                if (!page_is_good(i)) return 1;
                p[1] = ++counter[i];
                return 0;
        case 2:
                p[1] = ++counter[i];
                return !page_is_good(i);
        default:
                p[0] = mix(nonce + i);
                return !page_is_good(i);
        }
}

/* Fixed pages [from, from + nr), and a page of chance after every ninth. */
static u64 walk_some(u64 from, u64 nr, u64 *seed)
{
        u64 bad = 0;

        for (u64 k = from; k < from + nr; k++) {
                u64 i;

                bad += touch(k);
                if (k % (FIXED / CHANCE))
                        continue;
                i = (*seed = mix(*seed + 0x9e3779b97f4a7c15UL)) % FILL_PAGES;
                while (is_fixed(i)) i = (i + 1) % FILL_PAGES;
                bad += !page_is_good(i);
        }
        return bad;
}

void guest_main(const char *cmdline)
{
        (void)cmdline;
        put("BOOT nonce="); hex(nonce, 16); put("\n");
        for (u64 n = 1;; n++) {
                u64 seed = tsc(), bad = walk_some(0, FIXED / 2, &seed);

                put("go\n");
                bad += walk_some(FIXED / 2, FIXED - FIXED / 2, &seed);
                begin_tick(n, bad);
                end_tick();
                for (int i = 0; i < SLEEP; i++)
                        wait_timer();
        }
}
