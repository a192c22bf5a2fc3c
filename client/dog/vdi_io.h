/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_VDI_IO_H
#define SF_DOG_VDI_IO_H

#include <stdint.h>

#include "include/sheepfold.h"

/*
 * Streams between a volume and standard input or output. Memory is a ring of page-aligned pieces,
 * one object long and used again and again; many are under way while the next is read or written
 * here. An exit code; errors have been printed.
 */

/* len UINT64_MAX: until the input ends; then more input than room is an error. */
int vdi_io_write(struct sf_volume *volume, const char *name, uint64_t offset, uint64_t len);
/* len UINT64_MAX: to the end of the volume. */
int vdi_io_read(struct sf_volume *volume, const char *name, uint64_t offset, uint64_t len);

#endif
