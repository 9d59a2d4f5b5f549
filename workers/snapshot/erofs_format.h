/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_format - EROFS on disk, as far as we write it: numbers are little-endian, a place is an offset
 * in the file.
 *
 *	block 0   nothing (1024 bytes), superblock, root inode
 *	then      blocks of data, inodes and folders in any order
 *
 * An inode is named by its nid, its place divided by 32. Behind its 64 bytes come its extended
 * attributes, and behind these what its layout asks for: the last part of its data (INLINE; never
 * across a block's end) or the block addresses of its chunks (CHUNKED).
 *
 * A folder's data is a row of blocks, each with entries (struct erofs_dirent) and behind them their
 * names without NULs, in the order of their bytes through all blocks, "." and ".." among them.
 */
#ifndef CF_SNAPSHOT_EROFS_FORMAT_H
#define CF_SNAPSHOT_EROFS_FORMAT_H

#include <stdint.h>

#define EROFS_MAGIC 0xe0f5e1e2u
#define EROFS_BLOCK_BITS 12
#define EROFS_BLOCK (1u << EROFS_BLOCK_BITS)
#define EROFS_SUPER_AT 1024
#define EROFS_SLOT 32 /* a nid is a place in these */
#define EROFS_ROOT_AT 1152

#define EROFS_COMPAT_CHECKSUM 1u /* CRC-32C from the superblock to the end of its block */
#define EROFS_COMPAT_MTIME 2u
#define EROFS_INCOMPAT_CHUNKED 4u

struct erofs_super {
	uint32_t magic, checksum, compat;
	uint8_t block_bits, slots;
	uint16_t root_nid;
	uint64_t inodes;
	uint64_t build_time;
	uint32_t build_time_ns, blocks, meta_block, xattr_block;
	uint8_t uuid[16], name[16];
	uint32_t incompat;
	uint8_t unused[44];
} __attribute__((packed));

enum erofs_layout { EROFS_PLAIN = 0, EROFS_INLINE = 2, EROFS_CHUNKED = 4 };
#define EROFS_EXTENDED 1u /* in format, beside layout << 1: an inode of 64 bytes */

struct erofs_inode {
	uint16_t format, xattr_count, mode, unused;
	uint64_t size;
	uint32_t where; /* block of the data, device number, or log2 of blocks in a chunk */
	uint32_t ino, uid, gid;
	uint64_t mtime;
	uint32_t mtime_ns, nlink;
	uint8_t unused2[16];
} __attribute__((packed));

#define EROFS_HOLE 0xffffffffu /* block address of a chunk that is not there */

struct erofs_dirent {
	uint64_t nid;
	uint16_t name_at;
	uint8_t type, unused;
} __attribute__((packed));

enum erofs_type {
	EROFS_FILE = 1,
	EROFS_FOLDER,
	EROFS_CHAR,
	EROFS_BLOCKDEV,
	EROFS_FIFO,
	EROFS_SOCKET,
	EROFS_LINK
};

/* Attributes: this, then for each an entry, its name and its value, padded to 4 bytes. xattr_count of an
 * inode without any is 0, else 1 and how many times 4 bytes follow the header. */
struct erofs_xattrs {
	uint32_t filter;
	uint8_t shared, unused[7];
} __attribute__((packed));

struct erofs_xattr {
	uint8_t name_len, prefix;
	uint16_t value_len;
} __attribute__((packed));

#define EROFS_XATTRS_MAX (sizeof(struct erofs_xattrs) + 4 * (UINT16_MAX - 1u))

#endif
