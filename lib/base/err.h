/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_ERR_H
#define SF_BASE_ERR_H

/*
 * Errors inside Sheepfold are 0 or negative: errno values as they are (-EIO), own codes from
 * -1000 from the one table below. The result codes on the wire are a separate enum
 * (lib/wire/msg.h).
 */
#define SF_ERR_TABLE(X)                                                                            \
	X(SF_ECORRUPT, 1000, "stored data does not match its checksum")                            \
	X(SF_EFORMAT, 1001, "not a format this version understands")                               \
	X(SF_ESTALE, 1002, "the request belongs to an older epoch")                                \
	X(SF_EAGAIN, 1003, "not now; try again")                                                   \
	X(SF_EBASE, 1004, "the shard is not at the version this change starts from")               \
	X(SF_EFOREIGN, 1005, "the directory belongs to another cluster or node")                   \
	X(SF_EINUSE, 1006, "the directory is in use by another process")                           \
	X(SF_EFULL, 1007, "no space left but the reserve")                                         \
	X(SF_ENOOBJ, 1008, "no such object")                                                       \
	X(SF_EUNFOUND, 1009, "too few shards of the object can be reached")                        \
	X(SF_ENOTFORMATTED, 1010, "the cluster is not formatted yet")                              \
	X(SF_EHALTED, 1011, "too few living members to serve")

enum sf_err {
#define X(name, code, text) name = code,
	SF_ERR_TABLE(X)
#undef X
};

/* Text for a negative error (own code or errno). Never NULL; static storage. */
const char *sf_strerror(int err);

#endif
