/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_TREE_H
#define SF_FUSE_TREE_H

#include "fuse/volume.h"

/*
 * The files and folders under the mount point, and the kernel's requests on them. What is answered
 * from here is in tree.c, what must ask the cluster first is in ask.c, on the workers.
 */
enum tree_node {
	NODE_ROOT = FUSE_ROOT_ID,
	NODE_CLUSTER,
	NODE_CLUSTER_INFO,
	NODE_NODE,
	NODE_NODE_LIST,
	NODE_NODE_INFO,
	NODE_VDI,
	NODE_VDI_LIST,
	NODE_VDI_MOUNT,
	NODE_VDI_UNMOUNT,
	NODE_VOLUME,
	NODE_COUNT, /* greater ones are pointers to volumes */
};
extern const struct fuse_lowlevel_ops tree_ops;

struct volume *tree_volume(fuse_ino_t ino); /* NULL: a node of the tree */
fuse_ino_t tree_ino(const struct volume *v);
/* How long the kernel may believe what it was told about a volume. */
extern const double tree_timeout_s;

/* ---- ask.c: they reply ---- */

void ask_lookup(fuse_req_t req, struct mount *m, const char *name);
void ask_getattr(fuse_req_t req, struct volume *v);
void ask_open(fuse_req_t req, struct volume *v, const struct fuse_file_info *fi);
void ask_open_text(fuse_req_t req, struct mount *m, fuse_ino_t ino,
                   const struct fuse_file_info *fi);
void ask_list(fuse_req_t req, struct mount *m, const struct fuse_file_info *fi);
void ask_expose(fuse_req_t req, struct mount *m, fuse_ino_t ino, const char *text, size_t len);
void ask_space(fuse_req_t req, struct mount *m);

#endif
