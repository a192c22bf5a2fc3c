/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_FUZZ_FRAMES_H
#define SF_TESTS_FUZZ_FRAMES_H

#include "lib/base/prng.h"
#include "lib/wire/msg.h"
#include "tests/fuzz/fuzz.h"

/* Bytes that are frames, or nearly so. */

/* Gives the bytes a proper fixed part, lengths that fit and the right checksums, so that a fuzzer
 * gets at what is behind those. */
void frame_fix(uint8_t *frame, size_t size);
/* What the fixed part says the frame's length is; `size` when that is no frame or longer. */
size_t frame_size(const uint8_t *data, size_t size);
/* Changes one frame: its bytes, its header with the checksums made right again, or all of it for a
 * random message. Returns the new size. */
size_t frame_mutate(uint8_t *data, size_t size, size_t max_size, struct prng *p);
/* Changes one of the frames that follow each other in data, or adds or removes one. */
size_t frames_mutate(uint8_t *data, size_t size, size_t max_size, struct prng *p);
/* A message as one frame in malloc'ed memory. */
uint8_t *frame_make(const struct msg *m, size_t *ret_size);
/* Both messages say the same (asserted). */
void msgs_same(const struct msg *a, const struct msg *b);

#endif
