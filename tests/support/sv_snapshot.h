/* tests/support/sv_snapshot.h: a StratoVirt snapshot for tests to change: a copy of a real `state`, and a `memory` of holes.
 * Owns:    struct sv_bytes its buffer.
 * Threads: one at a time.
 * Blocks:  on the file system. */
#pragma once

#include "tests/support/tmpdir.h"

#include <stdint.h>

struct sv_bytes {
        uint8_t *p;
        size_t   len;
};

void sv_bytes_free(struct sv_bytes *b);
#define _cleanup_sv_ __attribute__((cleanup(sv_bytes_free)))

/* `name` of the packed fixture of that name (tests/support/fixture.h). */
struct sv_bytes sv_load(const char *fixture, const char *name);

/* Replaces the nth (from 0) `from` by `to`, and mends the lengths around it (desc_len, or the record's size), so that nothing but
 * the text is wrong afterwards. Asserts that it is there. */
void sv_edit(struct sv_bytes *state, int nth, const char *from, const char *to);

/* Where the records begin; and the nth record's header. */
size_t sv_records_at(const struct sv_bytes *state);
size_t sv_record_at(const struct sv_bytes *state, int nth);
int    sv_nr_records(const struct sv_bytes *state);
/* Removes [at, at + len). */
void sv_cut(struct sv_bytes *state, size_t at, size_t len);

/* A descriptor of a type whose bodies are JSON (size 0) or a struct with these fields ("[{...},...]"). */
void sv_add_desc(struct sv_bytes *state, const char *type, unsigned int size, const char *fields);
/* A record "type/instance" at the end: order says nothing. */
void sv_add_record(struct sv_bytes *state, const char *type, const char *instance, const void *body, size_t len);

/* Writes the CPU vendor (12 characters) into the header. */
void sv_set_vendor(struct sv_bytes *state, const char *vendor);

/* A memory file of that much RAM, all holes, with header, table and list as StratoVirt writes them; edit may change the table's
 * text: `from` becomes `to` (NULL: as it is). */
void sv_write_memory(const struct tmpdir *t, uint64_t total_bytes, const char *from, const char *to);
