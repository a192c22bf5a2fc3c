# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += client/lib/libsheepfold.a
client_lib_libsheepfold_a_SOURCES = \
	include/sheepfold.h \
	client/lib/admin.c \
	client/lib/admin.h \
	client/lib/admin_node.c \
	client/lib/attr.c \
	client/lib/attr.h \
	client/lib/attr_record.c \
	client/lib/backup.c \
	client/lib/backup_format.c \
	client/lib/backup_format.h \
	client/lib/alter_copy.c \
	client/lib/call.c \
	client/lib/call.h \
	client/lib/cluster.c \
	client/lib/cluster.h \
	client/lib/cluster_task.c \
	client/lib/conn.c \
	client/lib/conn.h \
	client/lib/conn_rx.c \
	client/lib/conn_rx.h \
	client/lib/error.c \
	client/lib/error.h \
	client/lib/health.c \
	client/lib/health.h \
	client/lib/inode.c \
	client/lib/inode.h \
	client/lib/family.c \
	client/lib/family.h \
	client/lib/fence.h \
	client/lib/io.c \
	client/lib/le.h \
	client/lib/leftovers.c \
	client/lib/lock.c \
	client/lib/lock.h \
	client/lib/lock_list.c \
	client/lib/lock_record.c \
	client/lib/lock_record.h \
	client/lib/lock_take.c \
	client/lib/lock_visit.c \
	client/lib/lock_visit.h \
	client/lib/lock_watch.h \
	client/lib/map_copy.c \
	client/lib/map_copy.h \
	client/lib/map_diff.c \
	client/lib/map_diff.h \
	client/lib/map_view.c \
	client/lib/map_view.h \
	client/lib/mapcache.c \
	client/lib/mapcache.h \
	client/lib/meta_object.c \
	client/lib/meta_object.h \
	client/lib/orphans.c \
	client/lib/owner_check.c \
	client/lib/owner_check.h \
	client/lib/redundancy.c \
	client/lib/request.c \
	client/lib/request.h \
	client/lib/restore.c \
	client/lib/snapshot.c \
	client/lib/snapshot.h \
	client/lib/status.c \
	client/lib/task.h \
	client/lib/trouble.c \
	client/lib/trouble.h \
	client/lib/version.c \
	client/lib/volmap.c \
	client/lib/volmap.h \
	client/lib/volume.c \
	client/lib/volume.h \
	client/lib/volume_check.c \
	client/lib/volume_create.c \
	client/lib/volume_delete.c \
	client/lib/volume_delete.h \
	client/lib/volume_dir.c \
	client/lib/volume_dir.h \
	client/lib/volume_find.c \
	client/lib/volume_list.c \
	client/lib/volume_locate.c \
	client/lib/volume_lock.c \
	client/lib/volume_lock.h \
	client/lib/volume_resize.c \
	client/lib/volume_visit.c

# What a program that uses the library links; the client's own rooms before those they stand on.
CLIENT_ARCHIVES = client/lib/libsheepfold.a lib/place/libplace.a lib/wire/libwire.a \
	lib/tls/libtls.a lib/base/libbase.a
CLIENT_SYSTEM_LIBS = $(OPENSSL_LIBS) $(EV_LIBS) $(PROTOBUF_C_LIBS) $(ISAL_LIBS) -lpthread
CLIENT_LIBS = $(CLIENT_ARCHIVES) $(CLIENT_SYSTEM_LIBS)

# For programs outside of this tree: the shared library, which shows what sheepfold.h declares and
# nothing else. CLIENT_ABI changes when a program built with the version before would not run.
CLIENT_ABI = 0
CLIENT_SHARED = client/lib/libsheepfold.so.$(PACKAGE_VERSION)
include_HEADERS += include/sheepfold.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = client/lib/sheepfold.pc
sharedlibdir = $(libdir)
sharedlib_DATA = $(CLIENT_SHARED)
CLEANFILES += $(CLIENT_SHARED)
EXTRA_DIST += client/lib/libsheepfold.map

# A tree that was built before this was here: its objects cannot go into a shared library.
$(client_lib_libsheepfold_a_OBJECTS) $(lib_place_libplace_a_OBJECTS) $(lib_wire_libwire_a_OBJECTS) \
	$(lib_tls_libtls_a_OBJECTS) $(lib_base_libbase_a_OBJECTS): $(srcdir)/client/lib/libsheepfold.map

$(CLIENT_SHARED): $(CLIENT_ARCHIVES) client/lib/libsheepfold.map
	$(AM_V_CCLD)$(CC) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS) -shared \
		-Wl,-soname,libsheepfold.so.$(CLIENT_ABI) \
		-Wl,--version-script=$(srcdir)/client/lib/libsheepfold.map -o $@ \
		-Wl,--whole-archive client/lib/libsheepfold.a -Wl,--no-whole-archive \
		$(CLIENT_ARCHIVES) $(CLIENT_SYSTEM_LIBS)

install-data-hook:
	cd $(DESTDIR)$(libdir) && \
		ln -sf libsheepfold.so.$(PACKAGE_VERSION) libsheepfold.so.$(CLIENT_ABI) && \
		ln -sf libsheepfold.so.$(CLIENT_ABI) libsheepfold.so

uninstall-hook:
	rm -f $(DESTDIR)$(libdir)/libsheepfold.so.$(CLIENT_ABI) $(DESTDIR)$(libdir)/libsheepfold.so

CLIENT_TESTS = \
	tests/unit/client_attr_test \
	tests/unit/client_backup_test \
	tests/unit/client_health_test \
	tests/unit/client_inode_test \
	tests/unit/client_io_test \
	tests/unit/client_late_test \
	tests/unit/client_lock_test \
	tests/unit/client_patience_test \
	tests/unit/client_redundancy_test \
	tests/unit/client_snapshot_test \
	tests/unit/client_volmap_test \
	tests/unit/client_volume_test \
	tests/unit/wire_foreign_test
check_PROGRAMS += $(CLIENT_TESTS)
TAP_TESTS += $(CLIENT_TESTS)

# A cluster of fake daemons that fail on order.
CLIENT_FAKE = tests/unit/client_fake.c tests/unit/client_fake.h
CLIENT_FIXTURE = $(CLIENT_FAKE) tests/unit/client_fixture.c tests/unit/client_fixture.h
CLIENT_TEST_LIBS = $(CLIENT_LIBS) $(CMOCKA_LIBS)

tests_unit_client_health_test_SOURCES = tests/unit/client_health_test.c
tests_unit_client_health_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_inode_test_SOURCES = tests/unit/client_inode_test.c
tests_unit_client_inode_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_io_test_SOURCES = tests/unit/client_io_test.c $(CLIENT_FIXTURE)
tests_unit_client_io_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_late_test_SOURCES = tests/unit/client_late_test.c $(CLIENT_FIXTURE)
tests_unit_client_late_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_attr_test_SOURCES = tests/unit/client_attr_test.c $(CLIENT_FIXTURE)
tests_unit_client_attr_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_backup_test_SOURCES = tests/unit/client_backup_test.c $(CLIENT_FAKE)
tests_unit_client_backup_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_lock_test_SOURCES = tests/unit/client_lock_test.c $(CLIENT_FAKE)
tests_unit_client_lock_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_snapshot_test_SOURCES = tests/unit/client_snapshot_test.c $(CLIENT_FIXTURE)
tests_unit_client_snapshot_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_redundancy_test_SOURCES = tests/unit/client_redundancy_test.c
tests_unit_client_redundancy_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_volmap_test_SOURCES = tests/unit/client_volmap_test.c
tests_unit_client_volmap_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_volume_test_SOURCES = tests/unit/client_volume_test.c $(CLIENT_FIXTURE)
tests_unit_client_volume_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_wire_foreign_test_SOURCES = tests/unit/wire_foreign_test.c
tests_unit_wire_foreign_test_LDADD = $(CLIENT_TEST_LIBS)
tests_unit_client_patience_test_SOURCES = tests/unit/client_patience_test.c $(CLIENT_FIXTURE)
tests_unit_client_patience_test_LDADD = $(CLIENT_TEST_LIBS)
