# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/cluster/workload
tests_cluster_workload_SOURCES = \
	tests/cluster/model.c \
	tests/cluster/model.h \
	tests/cluster/workload.c
tests_cluster_workload_LDADD = $(CLIENT_LIBS)

check_PROGRAMS += tests/cluster/askers
tests_cluster_askers_SOURCES = tests/cluster/askers.c
tests_cluster_askers_LDADD = $(CLIENT_LIBS) -lpthread

check_PROGRAMS += tests/cluster/file_load
tests_cluster_file_load_SOURCES = \
	tests/cluster/file_load.c \
	tests/cluster/model.c \
	tests/cluster/model.h
tests_cluster_file_load_LDADD = lib/base/libbase.a -lpthread

check_PROGRAMS += tests/cluster/discard
tests_cluster_discard_SOURCES = tests/cluster/discard.c
tests_cluster_discard_LDADD = $(CLIENT_LIBS)

# Preloaded into daemons, so without the sanitizers of the rest.
check_PROGRAMS += tests/cluster/faulty_disk.so
tests_cluster_faulty_disk_so_SOURCES = tests/cluster/faulty_disk.c tests/cluster/faulty_disk.h
tests_cluster_faulty_disk_so_CFLAGS = -std=gnu11 -Wall -Wextra -fPIC -fno-sanitize=all
tests_cluster_faulty_disk_so_LDFLAGS = -shared -fno-sanitize=all

# Two at a time (tests/tap_driver.py), so the longest first.
CLUSTER_TESTS = \
	tests/cluster/drill_test \
	tests/cluster/member_corosync_test \
	tests/cluster/volume_test \
	tests/cluster/member_zookeeper3_test \
	tests/cluster/member_zookeeper_test \
	tests/cluster/kill_test \
	tests/cluster/sheepfs_io_test \
	tests/cluster/chaos_test \
	tests/cluster/leave_test \
	tests/cluster/stopped_test \
	tests/cluster/operations_test \
	tests/cluster/member_local_test \
	tests/cluster/sheepfs_test \
	tests/cluster/manual_test \
	tests/cluster/grow_test \
	tests/cluster/damage_test \
	tests/cluster/command_line_test \
	tests/cluster/full_disk_test \
	tests/cluster/power_cut_test \
	tests/cluster/by_hand_test \
	tests/cluster/recover_test \
	tests/cluster/key_test \
	tests/cluster/farm_test \
	tests/cluster/strangers_test \
	tests/cluster/scrub_test \
	tests/cluster/installed_test \
	tests/cluster/readme_test
dist_check_SCRIPTS += $(CLUSTER_TESTS) tests/cluster/member_figures tests/cluster/sheepfs_drill
TAP_TESTS += $(CLUSTER_TESTS)
EXTRA_DIST += tests/cluster/harness.py \
	tests/cluster/member_engine.py tests/cluster/member_net.py tests/cluster/member_scenarios.py \
	tests/cluster/drill_cluster.py tests/cluster/drill_device.py tests/cluster/drill_faults.py tests/cluster/drill_machine.py \
	tests/cluster/drill_run.py tests/cluster/mounted.py tests/cluster/mounted_tree.py \
	tests/cluster/played_server.py tests/cluster/tsan.supp tests/cluster/volume_model.py
