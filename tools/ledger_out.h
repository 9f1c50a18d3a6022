/* tools/ledger_out.h: a ledger as JSON with the stable keys of cli.md, and ledgers side by side as a table.
 * Owns:    nothing; objects returned belong to the caller (json_object_put).
 * Threads: any.
 * Blocks:  on the file written. */
#pragma once

#include "core/base/err.h"
#include "core/model/ledger.h"

#include <stdio.h>

struct json_object;

/* A stamp that was not reached is left out. */
struct json_object *ledger_to_json(const struct ledger *l);

/* path "-": a table on standard error; else JSON into path. */
int ledger_write(const struct ledger *l, const char *path, struct err *e);

/* One column for each document that ledger_to_json could have made, at most LEDGER_COLUMNS_MAX; then the last line in words. */
#define LEDGER_COLUMNS_MAX 7
void ledger_table(FILE *to, struct json_object *const *docs, size_t nr);
