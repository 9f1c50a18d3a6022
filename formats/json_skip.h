/* formats/json_skip.h: finds where a JSON object or array ends, fast: most of a StratoVirt state is only skipped.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#define JSON_DEPTH_MAX 16 /* a StratoVirt state has 5 */

/* p is at the opening bracket. Returns after the one that closes it; NULL when there is none before end, when a bracket closes
 * another kind, or below JSON_DEPTH_MAX levels. */
const char *json_skip_container(const char *p, const char *end);
