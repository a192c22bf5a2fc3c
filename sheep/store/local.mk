# SPDX-License-Identifier: Apache-2.0
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

store_test_LIBS = sheep/store/libstore.a lib/wire/libwire.a lib/base/libbase.a \
	$(LMDB_LIBS) $(ISAL_LIBS) $(PROTOBUF_C_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/store_job_test
tests_unit_store_job_test_SOURCES = tests/unit/store_job_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h
tests_unit_store_job_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_job_test

check_PROGRAMS += tests/unit/store_push_test
tests_unit_store_push_test_SOURCES = tests/unit/store_push_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h
tests_unit_store_push_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_push_test

check_PROGRAMS += tests/unit/store_open_test
tests_unit_store_open_test_SOURCES = tests/unit/store_open_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h
tests_unit_store_open_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_open_test

check_PROGRAMS += tests/unit/store_damage_test
tests_unit_store_damage_test_SOURCES = tests/unit/store_damage_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h
tests_unit_store_damage_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_damage_test

check_PROGRAMS += tests/unit/store_space_test
tests_unit_store_space_test_SOURCES = tests/unit/store_space_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h \
	tests/unit/store_powercut.c tests/unit/store_powercut.h
tests_unit_store_space_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_space_test

check_PROGRAMS += tests/unit/store_random_test
tests_unit_store_random_test_SOURCES = tests/unit/store_random_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h \
	tests/unit/store_model.c tests/unit/store_model.h \
	tests/unit/store_world.c tests/unit/store_world.h
tests_unit_store_random_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_random_test

check_PROGRAMS += tests/unit/store_powercut_test
tests_unit_store_powercut_test_SOURCES = tests/unit/store_powercut_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h \
	tests/unit/store_model.c tests/unit/store_model.h \
	tests/unit/store_powercut.c tests/unit/store_powercut.h \
	tests/unit/store_world.c tests/unit/store_world.h
tests_unit_store_powercut_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_powercut_test

check_PROGRAMS += tests/unit/store_fire_test
tests_unit_store_fire_test_SOURCES = tests/unit/store_fire_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h \
	tests/unit/store_model.c tests/unit/store_model.h \
	tests/unit/store_powercut.c tests/unit/store_powercut.h tests/unit/store_powercut_index.c \
	tests/unit/store_world.c tests/unit/store_world.h
tests_unit_store_fire_test_LDADD = $(store_test_LIBS)
TAP_TESTS += tests/unit/store_fire_test
