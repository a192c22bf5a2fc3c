# SPDX-License-Identifier: Apache-2.0

# The inputs kept in tests/fuzz/corpus, run through the targets as they are built here.
# `make fuzz` looks for new ones, with clang: tests/fuzz/fuzz.mk.
fuzz_shared = tests/fuzz/fuzz.h tests/fuzz/replay.c
fuzz_libs = lib/place/libplace.a lib/wire/libwire.a lib/base/libbase.a $(PROTOBUF_C_LIBS) $(ISAL_LIBS)
fuzz_replays = \
	tests/fuzz/frame_replay \
	tests/fuzz/map_replay \
	tests/fuzz/node_replay \
	tests/fuzz/object_replay \
	tests/fuzz/register_replay \
	tests/fuzz/store_replay \
	tests/fuzz/stream_replay
check_PROGRAMS += $(fuzz_replays)
TAP_TESTS += $(fuzz_replays)

tests_fuzz_frame_replay_SOURCES = tests/fuzz/frame.c $(fuzz_shared) tests/fuzz/frames.c tests/fuzz/frames.h
tests_fuzz_frame_replay_LDADD = $(fuzz_libs)

tests_fuzz_map_replay_SOURCES = tests/fuzz/map.c $(fuzz_shared)
tests_fuzz_map_replay_LDADD = $(fuzz_libs)

tests_fuzz_node_replay_SOURCES = tests/fuzz/node.c $(fuzz_shared) tests/fuzz/node_rig.c \
	tests/fuzz/node_rig.h tests/fuzz/frames.c tests/fuzz/frames.h
tests_fuzz_node_replay_LDADD = tests/sim/libsim.a sheep/core/libcore.a lib/ec/libec.a $(fuzz_libs)

tests_fuzz_object_replay_SOURCES = tests/fuzz/object.c $(fuzz_shared)
tests_fuzz_object_replay_LDADD = client/lib/libsheepfold.a lib/ec/libec.a lib/tls/libtls.a $(fuzz_libs) $(OPENSSL_LIBS) $(EV_LIBS)

tests_fuzz_register_replay_SOURCES = tests/fuzz/register.c $(fuzz_shared)
tests_fuzz_register_replay_LDADD = sheep/member/libmember.a $(fuzz_libs) $(EV_LIBS)

tests_fuzz_store_replay_SOURCES = tests/fuzz/store.c $(fuzz_shared) tests/fuzz/mem_fs.c \
	tests/fuzz/mem_fs.h tests/fuzz/store_image.c tests/fuzz/store_image.h
tests_fuzz_store_replay_LDADD = sheep/store/libstore.a $(fuzz_libs) $(LMDB_LIBS)

tests_fuzz_stream_replay_SOURCES = tests/fuzz/stream.c $(fuzz_shared) tests/fuzz/frames.c tests/fuzz/frames.h
tests_fuzz_stream_replay_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=read,--wrap=readv,--wrap=sendmsg
tests_fuzz_stream_replay_LDADD = sheep/net/libnet.a lib/tls/libtls.a $(fuzz_libs) $(OPENSSL_LIBS) $(EV_LIBS)

FUZZ_SECONDS = 60
fuzz:
	$(top_srcdir)/tests/fuzz/fuzz --seconds $(FUZZ_SECONDS) --build $(abs_builddir)/fuzz
.PHONY: fuzz

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz tests/fuzz/fuzz.mk tests/fuzz/store_seed.c
