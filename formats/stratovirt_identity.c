/* formats/stratovirt_identity.c: hashes the state, and asks when the memory was written. */
#include "formats/stratovirt_identity.h"

#include "core/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

int sv_identify(const void *state, size_t len, int memory_fd, struct identity *ret, struct err *e)
{
        XXH128_hash_t h = XXH3_128bits(state, len);
        struct stat   st;

        if (fstat(memory_fd, &st) < 0)
                return err_set(e, -errno, "stat memory: %s", strerror(errno));
        snprintf(ret->s, sizeof(ret->s), "%016" PRIx64 "%016" PRIx64 "-%" PRIu64 "-%" PRIu64, (uint64_t)h.high64,
                 (uint64_t)h.low64, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec);
        return 0;
}
