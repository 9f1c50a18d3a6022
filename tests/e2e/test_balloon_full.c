/* A guest whose balloon moves: every mode and every memory that test_balloon.c leaves out. */
#include "tests/e2e/balloon_rig.h"
#include "tests/support/huge_pool.h"

TestSuite(balloon_full, .fini = huge_pool_give_back);

Test(balloon_full, it_moves_where_nothing_is_brought_in_unasked, .timeout = 200)
{
        check(WORDS("--mode", "lazy", "--hints", "none", "--fill", "off"));
}

Test(balloon_full, it_moves_over_a_mapped_memory_file, .timeout = 200)
{
        check(WORDS("--mode", "mmap"));
}

Test(balloon_full, it_moves_where_auto_serves_verified_pages, .timeout = 200)
{
        check(WORDS("--mode", "auto"));
}

Test(balloon_full, it_moves_after_an_eager_restore, .timeout = 200)
{
        check(WORDS("--mode", "eager"));
}

Test(balloon_full, it_moves_in_a_memfd, .timeout = 200)
{
        check(WORDS("--mode", "lazy", "--memory-backing", "memfd"));
}

Test(balloon_full, it_moves_over_a_template, .timeout = 200)
{
        check(WORDS("--mode", "shared", "--hints", "none"));
}

Test(balloon_full, it_moves_over_a_template_of_huge_pages, .timeout = 200)
{
        need_hugetlb(2 * 64);
        check(WORDS("--mode", "shared", "--memory-backing", "hugetlb"));
}
