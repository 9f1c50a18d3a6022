/* tools/inspect_out.h: a snapshot's contents, for people and for programs.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  on the stream. */
#pragma once

#include "core/inspect.h"

#include <stdio.h>

void inspect_print(FILE *to, const struct inspection *i, bool pages);
void inspect_print_json(FILE *to, const struct inspection *i, bool pages);

/* --- what the two share --- */

#define INSPECT_MAC_BYTES 18
const char *inspect_mac(const uint8_t mac[6], char ret[INSPECT_MAC_BYTES]);

struct json_object;
struct json_object *inspect_device_json(const struct device_record *d);
/* Addresses and registers as hex strings: JSON readers round numbers past 2^53. */
void inspect_add_hex(struct json_object *o, const char *key, uint64_t v);
