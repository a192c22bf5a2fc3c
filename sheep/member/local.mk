# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += sheep/member/libmember.a
sheep_member_libmember_a_SOURCES = \
	sheep/member/corosync.c \
	sheep/member/cs_decide.c \
	sheep/member/cs_disk.c \
	sheep/member/cs_disk.h \
	sheep/member/cs_frames.c \
	sheep/member/cs_frames.h \
	sheep/member/cs_live.c \
	sheep/member/cs_logic.c \
	sheep/member/cs_logic.h \
	sheep/member/cs_msg.c \
	sheep/member/cs_msg.h \
	sheep/member/cs_state.h \
	sheep/member/local.c \
	sheep/member/local_live.c \
	sheep/member/local_live.h \
	sheep/member/local_register.c \
	sheep/member/local_register.h \
	sheep/member/member.c \
	sheep/member/member.h \
	sheep/member/zk_live.c \
	sheep/member/zk_logic.c \
	sheep/member/zk_logic.h \
	sheep/member/zk_register.c \
	sheep/member/zk_spec.c \
	sheep/member/zk_spec.h \
	sheep/member/zk_state.h \
	sheep/member/zookeeper.c

check_PROGRAMS += tests/unit/member_local_test
tests_unit_member_local_test_SOURCES = tests/unit/member_local_test.c tests/unit/member_actor.h
tests_unit_member_local_test_LDADD = sheep/member/libmember.a lib/place/libplace.a \
	lib/wire/libwire.a lib/base/libbase.a $(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(ZOOKEEPER_LIBS) $(COROSYNC_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/member_local_test

check_PROGRAMS += tests/unit/member_register_test
tests_unit_member_register_test_SOURCES = tests/unit/member_register_test.c tests/unit/member_actor.h
tests_unit_member_register_test_LDADD = sheep/member/libmember.a lib/place/libplace.a \
	lib/wire/libwire.a lib/base/libbase.a $(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(ZOOKEEPER_LIBS) $(COROSYNC_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/member_register_test

check_PROGRAMS += tests/unit/member_zookeeper_test
tests_unit_member_zookeeper_test_SOURCES = tests/unit/member_zookeeper_test.c
tests_unit_member_zookeeper_test_LDADD = sheep/member/libmember.a lib/place/libplace.a \
	lib/wire/libwire.a lib/base/libbase.a $(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/member_zookeeper_test

check_PROGRAMS += tests/unit/member_cs_test
tests_unit_member_cs_test_SOURCES = tests/unit/member_cs_test.c
tests_unit_member_cs_test_LDADD = sheep/member/libmember.a lib/place/libplace.a \
	lib/wire/libwire.a lib/base/libbase.a $(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(ZOOKEEPER_LIBS) $(COROSYNC_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/member_cs_test

check_PROGRAMS += tests/unit/member_zk_handle_test
tests_unit_member_zk_handle_test_SOURCES = tests/unit/member_zk_handle_test.c
tests_unit_member_zk_handle_test_LDADD = sheep/member/libmember.a lib/place/libplace.a \
	lib/wire/libwire.a lib/base/libbase.a $(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(ZOOKEEPER_LIBS) $(COROSYNC_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/member_zk_handle_test
