/* idle: has FILL_PAGES pages full of data and touches none of them any more; it says a line every 20 ms. The control of rouse bench: whoever restores it
 * and still gains memory is bringing in what nobody asked for.
 *
 *   IDLE n */
#include "tests/guest/guest.h"

void guest_main(const char *cmdline)
{
        (void)cmdline;
        nonce = mix(tsc());
        for (u64 i = 0; i < FILL_PAGES; i++)
                fill_page(i);
        start_timer();
        for (u64 n = 1;; n++) {
                for (int i = 0; i < 5; i++)
                        wait_timer();
                put_number("IDLE ", n);
                put("\n");
        }
}
