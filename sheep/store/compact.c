/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/state.h"
bool store_compact_slice(struct store *st, uint64_t now_ms, bool urgent) { return false; }
void store_compact_stop(struct store *st) { }
void store_compact_urgent(struct store *st, uint64_t bytes) { }
void store_note_fragmented(struct store *st, const struct shard *s) { }
