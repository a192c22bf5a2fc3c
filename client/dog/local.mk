# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += client/dog/dog
client_dog_dog_SOURCES = \
	client/dog/alter_copy.c \
	client/dog/check.c \
	client/dog/check.h \
	client/dog/cluster.c \
	client/dog/cluster_snapshot.c \
	client/dog/cluster_snapshot.h \
	client/dog/farm.c \
	client/dog/farm.h \
	client/dog/complete.c \
	client/dog/complete.h \
	client/dog/dog.h \
	client/dog/help.c \
	client/dog/help.h \
	client/dog/json.c \
	client/dog/json.h \
	client/dog/key.c \
	client/dog/main.c \
	client/dog/node.c \
	client/dog/node_leave.c \
	client/dog/node_leave.h \
	client/dog/node_md.c \
	client/dog/node_recovery.c \
	client/dog/node_set.c \
	client/dog/node_stat.c \
	client/dog/node_view.c \
	client/dog/node_view.h \
	client/dog/progress.c \
	client/dog/progress.h \
	client/dog/recover.c \
	client/dog/recover.h \
	client/dog/scrub.c \
	client/dog/status.c \
	client/dog/stream.c \
	client/dog/stream.h \
	client/dog/text.c \
	client/dog/text.h \
	client/dog/vdi.c \
	client/dog/vdi.h \
	client/dog/vdi_attr.c \
	client/dog/vdi_backup.c \
	client/dog/vdi_io.c \
	client/dog/vdi_io.h \
	client/dog/vdi_lock.c \
	client/dog/vdi_object.c \
	client/dog/vdi_snapshot.c \
	client/dog/vdi_tree.c
client_dog_dog_LDADD = $(CLIENT_LIBS) $(JANSSON_LIBS)

dist_man_MANS += man/dog.8

check_PROGRAMS += tests/unit/dog_text_test
TAP_TESTS += tests/unit/dog_text_test
tests_unit_dog_text_test_SOURCES = tests/unit/dog_text_test.c client/dog/text.c client/dog/text.h
tests_unit_dog_text_test_LDADD = $(CLIENT_LIBS) $(CMOCKA_LIBS)

dist_check_SCRIPTS += tests/unit/dog_refusal_test
TAP_TESTS += tests/unit/dog_refusal_test
