# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/ec/libec.a
lib_ec_libec_a_SOURCES = lib/ec/ec.h lib/ec/ec.c

check_PROGRAMS += tests/unit/ec_code_test
tests_unit_ec_code_test_SOURCES = tests/unit/ec_code_test.c
tests_unit_ec_code_test_LDADD = lib/ec/libec.a lib/base/libbase.a $(ISAL_LIBS) $(CMOCKA_LIBS)
TAP_TESTS += tests/unit/ec_code_test
