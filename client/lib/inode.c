/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/inode.h"

#include <assert.h>
#include <string.h>

#include "client/lib/le.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/htab.h"
#include "lib/place/map.h"

#define INODE_MAGIC "SFinode1"
enum { CRC_FROM = 12, OFF_NAME = 80, OFF_TAG = 336, OFF_REST = 592 };
enum { OID_TYPE_SHIFT = 60, OID_TYPE_DATA = 0, OID_TYPE_INODE = 8 };

static_assert(OFF_NAME + SF_NAME_MAX + 1 == OFF_TAG,
              "the name's field ends where the tag's begins");
static_assert(OFF_TAG + SF_NAME_MAX + 1 == OFF_REST, "and the rest comes after the tag");

void inode_encode(const struct inode *inode, uint8_t bytes[INODE_HEADER_LEN])
{
	const struct sf_volume_info *i = &inode->info;

	memset(bytes, 0, INODE_HEADER_LEN);
	memcpy(bytes, INODE_MAGIC, 8);
	put32(bytes + 12, INODE_VERSION);
	put32(bytes + 16, inode->flags);
	put32(bytes + 20, i->id);
	put64(bytes + 24, i->size_bytes);
	put64(bytes + 32, i->created_s);
	put64(bytes + 40, inode->changed_s);
	put32(bytes + 48, i->redundancy.data);
	put32(bytes + 52, i->redundancy.parity);
	put32(bytes + 56, i->pool);
	put32(bytes + 60, i->object_shift);
	put32(bytes + 64, i->parent_id);
	put32(bytes + 68, i->snapshot_id);
	put64(bytes + 72, inode->creator);
	memcpy(bytes + OFF_NAME, i->name, strnlen(i->name, SF_NAME_MAX));
	memcpy(bytes + OFF_TAG, i->tag, strnlen(i->tag, SF_NAME_MAX));
	put32(bytes + OFF_REST, inode->predecessor);
	put32(bytes + OFF_REST + 4, inode->successor);
	put64(bytes + OFF_REST + 8, inode->family);
	put32(bytes + OFF_REST + 16, inode->from_pool);
	put32(bytes + OFF_REST + 20, inode->generation);
	put64(bytes + OFF_REST + 24, inode->origin);
	put32(bytes + 8, crc32c(0, bytes + CRC_FROM, INODE_HEADER_LEN - CRC_FROM));
}

/* Values that arithmetic elsewhere relies on. */
static bool info_is_sane(const struct sf_volume_info *i)
{
	if (i->id > VOLUME_ID_MASK || i->parent_id > VOLUME_ID_MASK)
		return false;
	if (i->object_shift < OBJECT_SHIFT_MIN || i->object_shift > OBJECT_SHIFT_MAX)
		return false;
	if (i->size_bytes > (uint64_t)1 << (VOLUME_MAX_OBJECTS_SHIFT + i->object_shift))
		return false;
	if (i->redundancy.data < 1 || i->redundancy.data > MAX_DATA ||
	    i->redundancy.parity > MAX_PARITY)
		return false;
	return i->name[0] != '\0';
}

int inode_decode(const uint8_t bytes[INODE_HEADER_LEN], struct inode *ret)
{
	struct inode in = {0};
	struct sf_volume_info *i = &in.info;

	if (memcmp(bytes, INODE_MAGIC, 8) != 0)
		return -SF_EFORMAT;
	if (get32(bytes + 8) != crc32c(0, bytes + CRC_FROM, INODE_HEADER_LEN - CRC_FROM))
		return -SF_ECORRUPT;
	if (get32(bytes + 12) != INODE_VERSION)
		return -SF_EFORMAT;
	if (bytes[OFF_NAME + SF_NAME_MAX] != '\0' || bytes[OFF_TAG + SF_NAME_MAX] != '\0')
		return -SF_EFORMAT;
	in.flags = get32(bytes + 16);
	i->id = get32(bytes + 20);
	i->size_bytes = get64(bytes + 24);
	i->created_s = get64(bytes + 32);
	in.changed_s = get64(bytes + 40);
	i->redundancy.data = get32(bytes + 48);
	i->redundancy.parity = get32(bytes + 52);
	i->pool = get32(bytes + 56);
	i->object_shift = get32(bytes + 60);
	i->parent_id = get32(bytes + 64);
	i->snapshot_id = get32(bytes + 68);
	in.creator = get64(bytes + 72);
	strcpy(i->name, (const char *)bytes + OFF_NAME); /* it ends in its field, as just seen */
	strcpy(i->tag, (const char *)bytes + OFF_TAG);
	in.predecessor = get32(bytes + OFF_REST) & VOLUME_ID_MASK;
	in.successor = get32(bytes + OFF_REST + 4) & VOLUME_ID_MASK;
	in.family = get64(bytes + OFF_REST + 8);
	in.from_pool = get32(bytes + OFF_REST + 16);
	in.generation = get32(bytes + OFF_REST + 20);
	in.origin = get64(bytes + OFF_REST + 24);
	i->clone = in.flags & INODE_CLONE;
	if (!info_is_sane(i))
		return -SF_EFORMAT;
	*ret = in;
	return 0;
}

bool has_control_characters(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

const char *volume_name_fault(const char *name)
{
	size_t len = strnlen(name, SF_NAME_MAX + 1);

	if (len == 0)
		return "a volume's name may not be empty";
	if (len > SF_NAME_MAX)
		return "a volume's name has at most 255 bytes";
	if (has_control_characters(name))
		return "a volume's name may not contain control characters, such as a line feed";
	return "";
}

uint32_t volume_id_of_name(const char *name)
{
	return volume_id_next((uint32_t)(hash_bytes(name, strlen(name)) & VOLUME_ID_MASK) - 1);
}

/* 0 stands for "nobody" in maps, so no volume gets it. */
uint32_t volume_id_next(uint32_t id)
{
	id = (id + 1) & VOLUME_ID_MASK;
	return id ? id : 1;
}

uint64_t oid_data(uint32_t volume, uint32_t index)
{
	return (uint64_t)OID_TYPE_DATA << OID_TYPE_SHIFT | (uint64_t)volume << 32 | index;
}

uint64_t oid_inode(uint32_t volume, uint32_t part)
{
	return (uint64_t)OID_TYPE_INODE << OID_TYPE_SHIFT | (uint64_t)volume << 32 | part;
}

bool oid_is_inode(uint64_t oid)
{
	return oid >> OID_TYPE_SHIFT == OID_TYPE_INODE;
}

uint32_t oid_volume(uint64_t oid)
{
	return (uint32_t)(oid >> 32) & VOLUME_ID_MASK;
}

uint32_t oid_index(uint64_t oid)
{
	return (uint32_t)oid;
}
