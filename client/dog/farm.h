/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_FARM_H
#define SF_DOG_FARM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A directory on the client's file system that holds snapshots of a whole cluster:
 *
 *   DIR/objects/ab/cdef...   contents of objects, named by their SHA-256: each is kept once
 *   DIR/snapshots/TAG.json   which volumes there were, and the hash of each of their objects
 *
 * A snapshot's file is renamed into place when all that it names is durable; an interrupted save
 * leaves objects that the next one finds and uses.
 */
enum { FARM_HASH_LEN = 65, FARM_PATH_LEN = 4096 };

struct farm {
	char dir[FARM_PATH_LEN];
	char error[FARM_PATH_LEN + 256]; /* why the last call failed */
};

/* make: where it is missing. 0, or -errno. */
int farm_open(struct farm *f, const char *dir, bool make);
/* Keeps the content unless it is there. *ret_new: it was not. */
int farm_put(struct farm *f, const void *data, size_t len, char hash[FARM_HASH_LEN], bool *ret_new);
/* len must be what was kept; -EILSEQ: it is damaged or of another length. */
int farm_get(struct farm *f, const char *hash, void *data, size_t len);

/* A tag may be a file's name: no slash, no dot in front. */
bool farm_tag_ok(const char *tag);
/* -EEXIST: there is one. */
int farm_snapshot_check_new(struct farm *f, const char *tag);
int farm_snapshot_save(struct farm *f, const char *tag, const json_t *snapshot);
/* Caller owns *ret. -ENOENT: no such snapshot; -EILSEQ: it is damaged. */
int farm_snapshot_load(struct farm *f, const char *tag, json_t **ret);
/* All of them, an array; by age. */
int farm_snapshot_list(struct farm *f, json_t **ret);

#endif
