/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_VDI_H
#define SF_DOG_VDI_H

#include "client/dog/dog.h"

/* What the files of the noun vdi share. */

/* "Failed to WHAT VDI NAME: ..." in the words that users' scripts look for; an exit code. */
int vdi_fail(int err, const char *what, const char *name);
/* An exit code: 0 when it may be a volume's name. */
int vdi_name_check(const char *name);

/* The same about a snapshot; tag NULL: the working volume. */
int vdi_tag_fail(int err, const char *what, const char *name, const char *tag);

/* ---- Verbs ---- */

/* vdi_snapshot.c */
int vdi_snapshot(struct dog *dog, int argc, char **argv);
int vdi_clone(struct dog *dog, int argc, char **argv);
int vdi_rollback(struct dog *dog, int argc, char **argv);
/* vdi_backup.c */
int vdi_backup(struct dog *dog, int argc, char **argv);
int vdi_restore(struct dog *dog, int argc, char **argv);
/* alter_copy.c */
int vdi_alter_copy(struct dog *dog, int argc, char **argv);
int cluster_alter_copy(struct dog *dog, int argc, char **argv);
/* vdi_tree.c */
int vdi_tree(struct dog *dog, int argc, char **argv);
int vdi_graph(struct dog *dog, int argc, char **argv);

/* vdi_object.c */
int vdi_object(struct dog *dog, int argc, char **argv);
int vdi_track(struct dog *dog, int argc, char **argv);
/* vdi_attr.c */
int vdi_setattr(struct dog *dog, int argc, char **argv);
int vdi_getattr(struct dog *dog, int argc, char **argv);
/* vdi_lock.c */
int vdi_lock(struct dog *dog, int argc, char **argv);

#endif
