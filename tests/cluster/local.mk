check_PROGRAMS += tests/cluster/workload
tests_cluster_workload_SOURCES = \
	tests/cluster/model.c \
	tests/cluster/model.h \
	tests/cluster/workload.c
tests_cluster_workload_LDADD = $(CLIENT_LIBS)

CLUSTER_TESTS = \
	tests/cluster/by_hand_test \
	tests/cluster/chaos_test \
	tests/cluster/command_line_test \
	tests/cluster/damage_test \
	tests/cluster/full_disk_test \
	tests/cluster/grow_test \
	tests/cluster/kill_test \
	tests/cluster/power_cut_test \
	tests/cluster/stopped_test \
	tests/cluster/strangers_test
dist_check_SCRIPTS += $(CLUSTER_TESTS)
TAP_TESTS += $(CLUSTER_TESTS)
EXTRA_DIST += tests/cluster/harness.py
