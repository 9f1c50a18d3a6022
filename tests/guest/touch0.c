/* touch0: touch at CPL 0. */
#define AT_CPL_0
#include "tests/guest/touch.c"
