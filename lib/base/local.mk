# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/base/libbase.a
lib_base_libbase_a_SOURCES = \
	lib/base/buf.c \
	lib/base/buf.h \
	lib/base/clock.c \
	lib/base/clock.h \
	lib/base/crc32c.c \
	lib/base/crc32c.h \
	lib/base/dir.c \
	lib/base/dir.h \
	lib/base/err.c \
	lib/base/err.h \
	lib/base/htab.c \
	lib/base/htab.h \
	lib/base/list.h \
	lib/base/log.c \
	lib/base/log.h \
	lib/base/math.h \
	lib/base/mem.c \
	lib/base/mem.h \
	lib/base/payload.c \
	lib/base/prng.c \
	lib/base/prng.h

check_PROGRAMS += tests/unit/base_buf_test tests/unit/base_misc_test
TAP_TESTS += tests/unit/base_buf_test tests/unit/base_misc_test

tests_unit_base_buf_test_SOURCES = tests/unit/base_buf_test.c
tests_unit_base_buf_test_LDADD = lib/base/libbase.a $(ISAL_LIBS) $(CMOCKA_LIBS)

tests_unit_base_misc_test_SOURCES = tests/unit/base_misc_test.c
tests_unit_base_misc_test_LDADD = lib/base/libbase.a $(ISAL_LIBS) $(CMOCKA_LIBS)
