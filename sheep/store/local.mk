noinst_LIBRARIES += sheep/store/libstore.a
sheep_store_libstore_a_SOURCES = \
	sheep/store/apply.c \
	sheep/store/batch.c sheep/store/batch.h \
	sheep/store/bytes.h \
	sheep/store/checkpoint.c \
	sheep/store/compact.c \
	sheep/store/extent.c sheep/store/extent.h \
	sheep/store/fs.h sheep/store/fs_posix.c \
	sheep/store/index.c sheep/store/index.h \
	sheep/store/memtable.c sheep/store/memtable.h \
	sheep/store/move.c \
	sheep/store/open.c \
	sheep/store/pg.c sheep/store/pg.h \
	sheep/store/pg_job.c \
	sheep/store/read.c \
	sheep/store/record.c sheep/store/record.h \
	sheep/store/replay.c sheep/store/replay.h \
	sheep/store/segment.c sheep/store/segment.h \
	sheep/store/shard.c sheep/store/shard.h \
	sheep/store/state.h \
	sheep/store/store.c sheep/store/store.h \
	sheep/store/superblock.c sheep/store/superblock.h \
	sheep/store/write.c
