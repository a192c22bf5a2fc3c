# SPDX-License-Identifier: Apache-2.0
check_LIBRARIES += tests/sim/libsim.a
tests_sim_libsim_a_SOURCES = \
	tests/sim/cells.c \
	tests/sim/cells.h \
	tests/sim/check.h \
	tests/sim/check_bounds.c \
	tests/sim/check_clean.c \
	tests/sim/check_durable.c \
	tests/sim/check_linear.c \
	tests/sim/check_primary.c \
	tests/sim/check_sound.c \
	tests/sim/content.c \
	tests/sim/content.h \
	tests/sim/cover.c \
	tests/sim/cover.h \
	tests/sim/cover_disk.c \
	tests/sim/disk_pg.c \
	tests/sim/disk_pg.h \
	tests/sim/disk_queue.c \
	tests/sim/fault.c \
	tests/sim/fault.h \
	tests/sim/fault_budget.c \
	tests/sim/fault_damage.c \
	tests/sim/fault_disk.c \
	tests/sim/fault_net.c \
	tests/sim/fault_node.c \
	tests/sim/history.c \
	tests/sim/history.h \
	tests/sim/runner.c \
	tests/sim/runner.h \
	tests/sim/scenario.c \
	tests/sim/scenario.h \
	tests/sim/scenario_draw.c \
	tests/sim/scenario_draw.h \
	tests/sim/scenario_text.c \
	tests/sim/shrink.c \
	tests/sim/shrink.h \
	tests/sim/sim_client.c \
	tests/sim/sim_client.h \
	tests/sim/sim_disk.c \
	tests/sim/sim_disk.h \
	tests/sim/sim_hands.c \
	tests/sim/sim_member.c \
	tests/sim/sim_member.h \
	tests/sim/sim_net.c \
	tests/sim/sim_net.h \
	tests/sim/sim_node.c \
	tests/sim/sim_node.h \
	tests/sim/sim_cs.c \
	tests/sim/sim_cs.h \
	tests/sim/sim_cs_totem.c \
	tests/sim/sim_driver.c \
	tests/sim/sim_driver.h \
	tests/sim/sim_zk.c \
	tests/sim/sim_zk.h \
	tests/sim/sim_zk_ensemble.c \
	tests/sim/sim_zk_faults.c \
	tests/sim/stats.c \
	tests/sim/stats.h \
	tests/sim/workload.c \
	tests/sim/workload.h \
	tests/sim/world.c \
	tests/sim/world.h

SIM_LIBS = tests/sim/libsim.a sheep/core/libcore.a sheep/member/libmember.a lib/ec/libec.a lib/place/libplace.a lib/wire/libwire.a \
	lib/base/libbase.a $(ISAL_LIBS) $(PROTOBUF_C_LIBS)

check_PROGRAMS += tests/sim/sim tests/sim/sim_test tests/sim/check_test tests/sim/check_history_test tests/sim/disk_test tests/sim/scrub_test tests/sim/absent_test tests/sim/guard_test
TAP_TESTS += tests/sim/disk_test tests/sim/check_test tests/sim/check_history_test tests/sim/scrub_test tests/sim/absent_test tests/sim/guard_test tests/sim/sim_test

# The real client library on the simulated network: what it asks of its system goes to lib_host.c, and lib_net.c stands
# in for its connections.
VOLUMES_SOURCES = \
	tests/sim/lib_host.c \
	tests/sim/lib_host.h \
	tests/sim/lib_net.c \
	tests/sim/vol_model.c \
	tests/sim/vol_model.h \
	tests/sim/vol_op.c \
	tests/sim/vol_run.h \
	tests/sim/vol_settle.c \
	tests/sim/volumes.c \
	tests/sim/volumes.h
VOLUMES_WRAP = -Wl,--wrap=pthread_cond_wait,--wrap=pthread_cond_signal,--wrap=pthread_create,--wrap=pthread_join \
	-Wl,--wrap=clock_gettime,--wrap=nanosleep,--wrap=time,--wrap=ev_timer_again,--wrap=ev_timer_stop
VOLUMES_LIBS = tests/sim/libsim.a client/lib/libsheepfold.a $(SIM_LIBS) -lpthread

tests_sim_sim_SOURCES = tests/sim/main.c $(VOLUMES_SOURCES)
tests_sim_sim_LDFLAGS = $(VOLUMES_WRAP)
tests_sim_sim_LDADD = $(VOLUMES_LIBS)
tests_sim_sim_test_SOURCES = tests/sim/sim_test.c $(VOLUMES_SOURCES)
tests_sim_sim_test_LDFLAGS = $(VOLUMES_WRAP)
tests_sim_sim_test_LDADD = $(VOLUMES_LIBS) $(CMOCKA_LIBS)
tests_sim_check_test_SOURCES = tests/sim/check_test.c
tests_sim_check_test_LDADD = $(SIM_LIBS) $(CMOCKA_LIBS)
tests_sim_check_history_test_SOURCES = tests/sim/check_history_test.c
tests_sim_check_history_test_LDADD = $(SIM_LIBS) $(CMOCKA_LIBS)
tests_sim_disk_test_SOURCES = tests/sim/disk_test.c
tests_sim_disk_test_LDADD = $(SIM_LIBS) $(CMOCKA_LIBS)
tests_sim_guard_test_SOURCES = tests/sim/guard_test.c tests/sim/rig.c tests/sim/rig.h
tests_sim_guard_test_LDADD = $(SIM_LIBS) $(CMOCKA_LIBS)
tests_sim_absent_test_SOURCES = tests/sim/absent_test.c tests/sim/rig.c tests/sim/rig.h
tests_sim_absent_test_LDADD = $(SIM_LIBS) $(CMOCKA_LIBS)
tests_sim_scrub_test_SOURCES = tests/sim/scrub_test.c tests/sim/rig.c tests/sim/rig.h
tests_sim_scrub_test_LDADD = $(SIM_LIBS) $(CMOCKA_LIBS)

EXTRA_DIST += tests/sim/scenarios tests/sim/README.md
