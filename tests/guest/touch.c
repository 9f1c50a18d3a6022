/* touch: reads every page of its memory at each tick, one after the other, and says before each 64th how far it is: what a page
 * that cannot be had does to a guest. At CPL 3, where KVM runs it natively and such a page is a SIGBUS; touch0.c is the same at
 * CPL 0, where KVM may emulate and such a page is an MMIO access.
 *
 *   at N                         pages below N were right
 *   TICK n nonce=.. walked=512 bad=0 cpus=1 stuck=0 irq=ok */
#ifdef AT_CPL_0
#define build_tables build_tables_and_return
#include "tests/guest/guest.h"
#undef build_tables
#else
#include "tests/guest/guest.h"
#endif

#define EVERY 64

/* A second or so: who saves it after a tick saves it here. */
static void pause_a_while(void)
{
        for (u64 end = tsc() + 2000000000; tsc() < end;)
                __asm__ volatile("pause");
}

void guest_main(const char *cmdline)
{
        (void)cmdline;
        for (u64 n = 1;; n++) {
                u64 bad = 0;

                pause_a_while();
                for (u64 i = 0; i < FILL_PAGES; i++) {
                        if (i % EVERY == 0) {
                                put_number("at ", i);
                                put("\n");
                        }
                        bad += !page_is_good(i);
                }
                begin_tick(n, bad);
                end_tick();
        }
}

#ifdef AT_CPL_0
/* It never returns to the code that would drop to CPL 3. */
void build_tables(u64 kind, u64 info)
{
        build_tables_and_return(kind, info);
        __asm__ volatile("mov %0, %%cr3" ::"r"(pml4) : "memory");
        nonce = mix(tsc());
        for (u64 i = 0; i < FILL_PAGES; i++)
                fill_page(i);
        guest_main(0);
}
#endif
