# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += fuse/sheepfs
fuse_sheepfs_SOURCES = \
	fuse/ask.c \
	fuse/exposed.c \
	fuse/gather.c \
	fuse/gather.h \
	fuse/io.c \
	fuse/io.h \
	fuse/landing.c \
	fuse/landing.h \
	fuse/leave.c \
	fuse/leave.h \
	fuse/main.c \
	fuse/memory.c \
	fuse/memory.h \
	fuse/mount.c \
	fuse/mount.h \
	fuse/options.c \
	fuse/options.h \
	fuse/text.c \
	fuse/text.h \
	fuse/tree.c \
	fuse/tree.h \
	fuse/volume.c \
	fuse/volume.h \
	fuse/worker.c \
	fuse/worker.h
fuse_sheepfs_CFLAGS = $(AM_CFLAGS) $(FUSE3_CFLAGS)
fuse_sheepfs_LDADD = $(CLIENT_LIBS) $(FUSE3_LIBS)
dist_man_MANS += man/sheepfs.8
