/* idle: has FILL_PAGES pages full of data, which guest.h writes at boot, and touches none of them any more; it says a line every
 * 20 ms. The control of rouse bench: whoever restores it and still gains memory is bringing in what nobody asked for.
 *
 *   IDLE n */
#include "tests/guest/guest.h"

void guest_main(const char *cmdline)
{
        (void)cmdline;
        for (u64 n = 1;; n++) {
                for (int i = 0; i < 5; i++)
                        wait_timer();
                put_number("IDLE ", n);
                put("\n");
        }
}
