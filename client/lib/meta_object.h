/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_META_OBJECT_H
#define SF_CLIENT_META_OBJECT_H

#include <stdint.h>

struct sf_cluster;
struct fence;

/*
 * Small objects of the metadata pool that belong to a volume's name, not to its id (a snapshot
 * gives the working volume another id): attributes and locks. Object id: the type in the top
 * nibble, below it the upper 60 bits of the name's hash; the object says whose it is.
 *
 * They are changed by compare-and-swap: the version that was read goes with the change. These
 * wait: not for the I/O thread.
 */
enum { OID_TYPE_ATTR = 2, OID_TYPE_LOCK = 3 };

uint64_t oid_of_name(uint32_t type, const char *name);
uint64_t oid_of_name_first(uint32_t type);
uint64_t oid_of_name_last(uint32_t type);

/* Version 0: there is none (0 all the same, zeros in bytes). */
int meta_read(struct sf_cluster *cluster, uint64_t oid, uint64_t offset, void *bytes, uint32_t len,
              uint64_t *ret_version);
/* -ESTALE: it was not at that version (0: absent). fence may be NULL. */
int meta_swap(struct sf_cluster *cluster, uint64_t oid, const void *bytes, uint32_t len,
              uint64_t version, const struct fence *fence, uint64_t *ret_version);
int meta_remove(struct sf_cluster *cluster, uint64_t oid, uint64_t version);

#endif
