/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a client reads from the cluster about a volume: its inode, with a checksum that is right
 * unless the input says otherwise, and pages of its map.
 */
#include <endian.h>
#include <stdlib.h>

#include "client/lib/inode.h"
#include "client/lib/volmap.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { CRC_AT = 8, CRC_FROM = 12, RUNS_MAX = VOLMAP_PAGE_ENTRIES, OWN = 0x123456 };

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void inode_bytes(struct fuzz_in *in, bool fix)
{
	uint8_t bytes[INODE_HEADER_LEN] = {0}, back[INODE_HEADER_LEN];
	size_t len = (size_t)(in->end - in->p);
	struct inode inode, again;

	memcpy(bytes, in->p, len < sizeof(bytes) ? len : sizeof(bytes));
	if (fix) {
		memcpy(bytes, "SFinode1", 8);
		put32(bytes + CRC_AT, crc32c(0, bytes + CRC_FROM, sizeof(bytes) - CRC_FROM));
	}
	if (inode_decode(bytes, &inode) < 0)
		return;
	inode_encode(&inode, back);
	assert(inode_decode(back, &again) == 0);
	assert(!memcmp(&inode, &again, sizeof(inode)));
	/* What a name may hold is asked when it is given; here it only has to be one. */
	assert(inode.info.name[0] != '\0' && strlen(inode.info.name) <= SF_NAME_MAX);
	assert(volume_id_of_name(inode.info.name) - 1 < VOLUME_ID_MASK);
	/* What is computed from it stays where it belongs. */
	uint64_t objects = volume_objects(inode.info.size_bytes, inode.info.object_shift);
	assert(objects <= 1ull << VOLUME_MAX_OBJECTS_SHIFT);
	if (objects > 0) {
		uint64_t oid = oid_data(inode.info.id, (uint32_t)(objects - 1));
		assert(!oid_is_inode(oid) && oid_volume(oid) == inode.info.id);
		assert(oid_index(oid) == objects - 1);
		assert(inode_map_pos(objects) > INODE_HEADER_LEN);
	}
	assert(oid_is_inode(oid_inode(inode.info.id, 7)));
}

/* Runs cover every entry that is marked, and none that is another's. */
static void page_runs(struct fuzz_in *in)
{
	struct volmap_page *page = xcalloc(1, sizeof(*page));
	uint32_t first, count, at = 0, runs = 0;

	while (in->p < in->end && at < VOLMAP_PAGE_ENTRIES) {
		uint8_t kind = fuzz_u8(in);
		uint32_t n = fuzz_below(in, VOLMAP_PAGE_ENTRIES - at);

		for (uint32_t i = at; i < at + n; i++) {
			page->entries[i] = htole32(kind & 1 ? OWN : kind & 2 ? OWN + 1 : 0);
			if (kind & 4)
				page->unsafe[i / 64] |= 1ull << (i % 64);
		}
		at += n;
	}
	while (volmap_find_run(page, OWN, &first, &count)) {
		assert(count > 0 && first < VOLMAP_PAGE_ENTRIES);
		assert(count <= VOLMAP_PAGE_ENTRIES - first && ++runs <= RUNS_MAX);
		for (uint32_t i = first; i < first + count; i++) {
			bool marked = page->unsafe[i / 64] >> (i % 64) & 1;
			assert(marked || (i > first && le32toh(page->entries[i]) == OWN));
			assert(marked || i < first + count - 1);
			page->unsafe[i / 64] &= ~(1ull << (i % 64));
		}
	}
	for (uint32_t i = 0; i < VOLMAP_PAGE_ENTRIES / 64; i++)
		assert(!page->unsafe[i]);
	free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, data + size};
	uint8_t kind = fuzz_u8(&in);

	if (kind % 4 == 3)
		page_runs(&in);
	else if (in.p < in.end)
		inode_bytes(&in, kind % 4 > 0);
	return 0;
}
