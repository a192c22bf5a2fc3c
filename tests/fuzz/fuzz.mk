# SPDX-License-Identifier: Apache-2.0
#
# Builds the fuzz targets with clang, libFuzzer and the sanitizers, away from the ordinary objects:
# make -f tests/fuzz/fuzz.mk O=DIR, from the top of the source tree. tests/fuzz/fuzz calls it.

O ?= build-fuzz
CC = clang
TARGETS = store node frame map stream register object

SAN = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CPPFLAGS = -I. -I$(O) -I$(O)/lib/wire -D_GNU_SOURCE
CFLAGS = -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter $(SAN)
LIBS = -lev -lisal -llmdb -lprotobuf-c -lssl -lcrypto -lzookeeper_st -lm

ROOMS = lib/base lib/wire lib/place lib/ec lib/tls sheep/core sheep/store sheep/member sheep/net client/lib
PB = $(O)/lib/wire/sheepfold.pb-c
# What targets share.
SHARED = frames mem_fs node_rig store_image
# The rooms that a target needs; client/lib and the daemon's have names in common.
store_USE = sheep/store lib/wire lib/base
frame_USE = lib/wire lib/base
map_USE = lib/place lib/wire lib/base
register_USE = sheep/member lib/place lib/wire lib/base
object_USE = client/lib lib/tls lib/ec lib/place lib/wire lib/base
node_USE = sheep/core lib/ec lib/place lib/wire lib/base
# The simulator's disk keeps the store's contract, and is quicker.
node_OBJECTS = tests/sim/sim_disk tests/sim/disk_pg tests/sim/content
stream_USE = sheep/net lib/tls lib/wire lib/base
# The socket's calls are the target's own.
stream_LDFLAGS = -Wl,--wrap=read,--wrap=readv,--wrap=sendmsg

all: $(TARGETS:%=$(O)/%)

define ROOM
$(O)/$(1).a: $$(patsubst %.c,$(O)/%.o,$$(wildcard $(1)/*.c)) $$(if $$(filter lib/wire,$(1)),$(PB).o)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call ROOM,$(r))))
$(O)/tests/fuzz.a: $(SHARED:%=$(O)/tests/fuzz/%.o)
	@rm -f $@
	@ar rcs $@ $^

define TARGET
$(O)/$(1): $(O)/tests/fuzz/$(1).o $(patsubst %,$(O)/%.o,$($(1)_OBJECTS)) $(O)/tests/fuzz.a $(patsubst %,$(O)/%.a,$($(1)_USE))
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $$@ $($(1)_LDFLAGS) -Wl,--start-group $$^ -Wl,--end-group $(LIBS)
endef
$(foreach t,$(TARGETS),$(eval $(call TARGET,$(t))))

$(PB).c: lib/wire/sheepfold.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=lib/wire --c_out=$(@D) $<
$(PB).o: $(PB).c
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(O)/%.o: %.c $(PB).c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -c $< -o $@

-include $(wildcard $(O)/*/*.d $(O)/*/*/*.d)
.SECONDARY:

# Makes inputs to begin with; only needed when the store's format changes.
$(O)/store_seed: $(O)/tests/fuzz/store_seed.o $(O)/tests/fuzz.a $(patsubst %,$(O)/%.a,$(store_USE))
	$(CC) $(CFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LIBS)

targets:
	@printf '%s\n' $(TARGETS)
.PHONY: all targets
