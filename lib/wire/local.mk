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

check_PROGRAMS += tests/unit/wire_codec_test
TAP_TESTS += tests/unit/wire_codec_test

tests_unit_wire_codec_test_SOURCES = tests/unit/wire_codec_test.c
tests_unit_wire_codec_test_LDADD = lib/wire/libwire.a lib/base/libbase.a \
	$(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(CMOCKA_LIBS)
