# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/wire/libwire.a
lib_wire_libwire_a_SOURCES = \
	lib/wire/codec.c \
	lib/wire/codec.h \
	lib/wire/codec_foreign.c \
	lib/wire/codec_foreign.h \
	lib/wire/header.c \
	lib/wire/header.h \
	lib/wire/msg.c \
	lib/wire/msg.h
nodist_lib_wire_libwire_a_SOURCES = \
	lib/wire/sheepfold.pb-c.c \
	lib/wire/sheepfold.pb-c.h

EXTRA_DIST += lib/wire/sheepfold.proto
BUILT_SOURCES += lib/wire/sheepfold.pb-c.c lib/wire/sheepfold.pb-c.h
CLEANFILES += lib/wire/sheepfold.pb-c.c lib/wire/sheepfold.pb-c.h

lib/wire/sheepfold.pb-c.c: $(top_srcdir)/lib/wire/sheepfold.proto
	$(AM_V_GEN)$(MKDIR_P) lib/wire && \
	$(PROTOC_C) --proto_path=$(top_srcdir)/lib/wire --c_out=lib/wire \
		$(top_srcdir)/lib/wire/sheepfold.proto
# One run makes both. Should only the header have been lost, run it again.
lib/wire/sheepfold.pb-c.h: lib/wire/sheepfold.pb-c.c
	@test -f $@ || { rm -f lib/wire/sheepfold.pb-c.c; $(MAKE) lib/wire/sheepfold.pb-c.c; }

wire_test_libs = lib/wire/libwire.a lib/base/libbase.a \
	$(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += \
	tests/unit/wire_codec_test \
	tests/unit/wire_limits_test \
	tests/unit/wire_msg_test
TAP_TESTS += \
	tests/unit/wire_codec_test \
	tests/unit/wire_limits_test \
	tests/unit/wire_msg_test

tests_unit_wire_codec_test_SOURCES = tests/unit/wire_codec_test.c tests/unit/wire_random.h
tests_unit_wire_codec_test_LDADD = $(wire_test_libs)

tests_unit_wire_limits_test_SOURCES = tests/unit/wire_limits_test.c tests/unit/wire_random.h
tests_unit_wire_limits_test_LDADD = $(wire_test_libs)

tests_unit_wire_msg_test_SOURCES = tests/unit/wire_msg_test.c tests/unit/wire_random.h
tests_unit_wire_msg_test_LDADD = $(wire_test_libs)
