# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += sheep/net/libnet.a
sheep_net_libnet_a_SOURCES = \
	sheep/net/client.c \
	sheep/net/conn.c \
	sheep/net/conn_rx.c \
	sheep/net/hello.c \
	sheep/net/net.c \
	sheep/net/net.h \
	sheep/net/net_state.h \
	sheep/net/outq.c \
	sheep/net/outq.h \
	sheep/net/peer.c

check_PROGRAMS += tests/unit/net_conn_test
tests_unit_net_conn_test_SOURCES = tests/unit/net_conn_test.c tests/unit/net_world.h
tests_unit_net_conn_test_LDADD = sheep/net/libnet.a lib/wire/libwire.a lib/tls/libtls.a lib/base/libbase.a $(OPENSSL_LIBS) \
	$(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/net_conn_test

check_PROGRAMS += tests/unit/net_moments_test
tests_unit_net_moments_test_SOURCES = tests/unit/net_moments_test.c tests/unit/net_rig.h
tests_unit_net_moments_test_LDADD = sheep/net/libnet.a lib/wire/libwire.a lib/tls/libtls.a lib/base/libbase.a $(OPENSSL_LIBS) \
	$(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/net_moments_test

check_PROGRAMS += tests/unit/net_limits_test
tests_unit_net_limits_test_SOURCES = tests/unit/net_limits_test.c tests/unit/net_world.h
tests_unit_net_limits_test_LDADD = sheep/net/libnet.a lib/wire/libwire.a lib/tls/libtls.a lib/base/libbase.a $(OPENSSL_LIBS) \
	$(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(EV_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/net_limits_test
