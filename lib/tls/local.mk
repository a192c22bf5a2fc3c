# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/tls/libtls.a
lib_tls_libtls_a_SOURCES = \
	lib/tls/key.c \
	lib/tls/key.h \
	lib/tls/tls.c \
	lib/tls/tls.h

check_PROGRAMS += tests/unit/tls_test
tests_unit_tls_test_SOURCES = tests/unit/tls_test.c
tests_unit_tls_test_LDADD = lib/tls/libtls.a lib/base/libbase.a $(OPENSSL_LIBS) $(ISAL_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/tls_test
