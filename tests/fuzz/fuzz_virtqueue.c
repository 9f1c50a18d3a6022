/* Any bytes in: a driver that does with its rings what they say. The queue agrees with the model, and writes nothing else. */
#include "tests/unit/kvm/virtq_model.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char wrong[200];

        if (virtq_play(data, size, wrong)) {
                fprintf(stderr, "%s\n", wrong);
                abort();
        }
        return 0;
}
