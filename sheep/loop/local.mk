# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += sheep/loop/libloop.a
sheep_loop_libloop_a_SOURCES = sheep/loop/completions.c sheep/loop/completions.h \
	sheep/loop/compute_pool.c sheep/loop/compute_pool.h sheep/loop/daemon.c \
	sheep/loop/daemon.h sheep/loop/daemon_state.h sheep/loop/daemon_step.c sheep/loop/disk_table.c sheep/loop/disk_table.h \
	sheep/loop/disk_thread.c sheep/loop/disk_thread.h \
	sheep/loop/disks.c sheep/loop/disks.h sheep/loop/disks_open.c sheep/loop/disks_open.h \
	sheep/loop/disks_plug.c \
	sheep/loop/memory_disk.c sheep/loop/memory_disk.h \
	sheep/loop/system.c sheep/loop/system.h

check_PROGRAMS += tests/unit/loop_threads_test
tests_unit_loop_threads_test_SOURCES = tests/unit/loop_threads_test.c \
	tests/unit/store_fixture.c tests/unit/store_fixture.h
tests_unit_loop_threads_test_LDADD = sheep/loop/libloop.a sheep/store/libstore.a \
	sheep/core/libcore.a lib/ec/libec.a lib/place/libplace.a lib/wire/libwire.a \
	lib/tls/libtls.a lib/base/libbase.a $(OPENSSL_LIBS) $(EV_LIBS) $(ZOOKEEPER_LIBS) $(COROSYNC_LIBS) $(LMDB_LIBS) $(ISAL_LIBS) $(PROTOBUF_C_LIBS) $(CMOCKA_LIBS) \
	-lpthread
TAP_TESTS += tests/unit/loop_threads_test
