/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_FUZZ_MEM_FS_H
#define SF_TESTS_FUZZ_MEM_FS_H

#include <stdint.h>

#include "sheep/store/fs.h"

/*
 * One directory of files in memory, for a store. Every path is taken for a name in it. Files have
 * holes as those of a real file system do, and no more than MEM_FILE_MAX bytes.
 */
enum { MEM_FILES = 64, MEM_FILE_MAX = 8 << 20 };

struct mem_file {
	char name[32]; /* "": none */
	uint8_t *data;
	uint64_t len, cap;
};
struct mem_fs {
	struct fs_ops ops;
	struct mem_file file[MEM_FILES];
	uint64_t size_bytes; /* what it says it has */
	bool readonly;       /* writes are refused with ENOSPC */
};

void mem_fs_init(struct mem_fs *fs, uint64_t size_bytes);
void mem_fs_fini(struct mem_fs *fs);
/* Makes the file or empties it. NULL when there are too many. */
struct mem_file *mem_file_create(struct mem_fs *fs, const char *name);
struct mem_file *mem_file_find(struct mem_fs *fs, const char *name);
/* False beyond MEM_FILE_MAX. */
bool mem_file_write(struct mem_file *f, uint64_t off, const void *data, uint64_t len);

#endif
