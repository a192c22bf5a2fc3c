/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_ERROR_H
#define SF_CLIENT_ERROR_H

#include <stddef.h>
#include <stdint.h>

/*
 * The sentence behind the last failure in this thread (sf_error). The I/O thread sets it before
 * each callback that reports a failure; synchronous calls carry it over to their caller's thread.
 */
enum { ERROR_TEXT_LEN = 256 };

/* Returns err, so that a refusal is one line. */
int error_set(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void error_clear(void);

/* The errno that the API promises for a wire result that no retry can change. */
int error_of_result(uint32_t result);

#endif
