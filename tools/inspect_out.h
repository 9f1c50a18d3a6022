/* tools/inspect_out.h: a snapshot's contents, for people and for programs.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  on the stream. */
#pragma once

#include "core/inspect_plan.h"

#include <stdio.h>

/* pages: every run, too. */
void inspect_print(FILE *to, const struct inspection *i, bool pages);
/* plan: how it would be restored, or NULL. */
void inspect_print_json(FILE *to, const struct inspection *i, bool pages, const struct inspected_plan *plan);
void inspect_print_plan(FILE *to, const struct inspected_plan *p);

/* --- what the two share --- */

#define INSPECT_MAC_BYTES 18
/* "52:54:00:12:34:56"; returns ret. */
const char *inspect_mac(const uint8_t mac[6], char ret[INSPECT_MAC_BYTES]);

struct json_object;
/* The caller's (json_object_put). */
struct json_object *inspect_plan_json(const struct inspected_plan *p);
struct json_object *inspect_device_json(const struct device_record *d);
/* Addresses and registers as hex strings: JSON readers round numbers past 2^53. */
void inspect_add_hex(struct json_object *o, const char *key, uint64_t v);
