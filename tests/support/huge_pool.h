/* tests/support/huge_pool.h: 2 MiB pages for a test, from a pool that is put back as it was.
 * Owns:    what it added to the host's pool, until huge_pool_give_back.
 * Threads: one. Test programs that run at the same time add and take away one after another.
 * Blocks:  while another one changes the pool.
 *
 *     TestSuite(hugetlb, .fini = huge_pool_give_back);    .fini runs after a failed assertion, too */
#pragma once

/* At least nr pages can be had, beside what others hold; else the test is skipped with the reason (CI=true: fails). */
void need_hugetlb(unsigned nr);
void huge_pool_give_back(void);
