# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/place/libplace.a
lib_place_libplace_a_SOURCES = \
	lib/place/map.c \
	lib/place/map.h \
	lib/place/map_change.c \
	lib/place/map_codec.c \
	lib/place/map_edit.h \
	lib/place/map_format.c \
	lib/place/place.c \
	lib/place/place.h \
	lib/place/place_match.c \
	lib/place/place_plan.c \
	lib/place/place_plan.h \
	lib/place/place_score.c \
	lib/place/place_score.h

place_tests = tests/unit/place_codec_test \
	tests/unit/place_format_test \
	tests/unit/place_leave_test \
	tests/unit/place_map_test \
	tests/unit/place_movement_test \
	tests/unit/place_placement_test
check_PROGRAMS += $(place_tests)
TAP_TESTS += $(place_tests)
place_test_libs = lib/place/libplace.a lib/wire/libwire.a lib/base/libbase.a \
	$(PROTOBUF_C_LIBS) $(ISAL_LIBS) $(CMOCKA_LIBS) -lm

tests_unit_place_codec_test_SOURCES = tests/unit/place_maps.h tests/unit/place_codec_test.c
tests_unit_place_codec_test_LDADD = $(place_test_libs)

tests_unit_place_format_test_SOURCES = tests/unit/place_maps.h tests/unit/place_format_test.c
tests_unit_place_format_test_LDADD = $(place_test_libs)

tests_unit_place_leave_test_SOURCES = tests/unit/place_maps.h tests/unit/place_leave_test.c
tests_unit_place_leave_test_LDADD = $(place_test_libs)

tests_unit_place_map_test_SOURCES = tests/unit/place_maps.h tests/unit/place_map_test.c
tests_unit_place_map_test_LDADD = $(place_test_libs)

tests_unit_place_movement_test_SOURCES = tests/unit/place_cluster.h tests/unit/place_movement_test.c
tests_unit_place_movement_test_LDADD = $(place_test_libs)

tests_unit_place_placement_test_SOURCES = tests/unit/place_cluster.h tests/unit/place_placement_test.c
tests_unit_place_placement_test_LDADD = $(place_test_libs)
