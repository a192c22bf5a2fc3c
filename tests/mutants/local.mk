# SPDX-License-Identifier: Apache-2.0
dist_check_SCRIPTS += tests/mutants/mutants tests/mutants/mutants_test
TAP_TESTS += tests/mutants/mutants_test
EXTRA_DIST += tests/mutants/list.py

# How each catcher is linked; the mutant's object comes first, so that the archive's is left out.
MUTANT_CATCHERS = \
	--link 'sim=$(tests_sim_sim_LDFLAGS) $(tests_sim_sim_OBJECTS) $(tests_sim_sim_LDADD)' \
	--link 'absent_test=$(tests_sim_absent_test_OBJECTS) $(tests_sim_absent_test_LDADD)' \
	--link 'guard_test=$(tests_sim_guard_test_OBJECTS) $(tests_sim_guard_test_LDADD)' \
	--link 'scrub_test=$(tests_sim_scrub_test_OBJECTS) $(tests_sim_scrub_test_LDADD)' \
	--link 'store_powercut_test=$(tests_unit_store_powercut_test_OBJECTS) $(tests_unit_store_powercut_test_LDADD)' \
	--link 'store_fire_test=$(tests_unit_store_fire_test_OBJECTS) $(tests_unit_store_fire_test_LDADD)' \
	--link 'store_damage_test=$(tests_unit_store_damage_test_OBJECTS) $(tests_unit_store_damage_test_LDADD)'
MUTANT_NEEDS = tests/sim/sim tests/sim/absent_test tests/sim/guard_test tests/sim/scrub_test tests/unit/store_powercut_test tests/unit/store_fire_test tests/unit/store_damage_test
MUTANT_RUN = $(PYTHON3) $(top_srcdir)/tests/mutants/mutants \
	--cc '$(CC) $(DEFS) $(AM_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS)' \
	--ld '$(CC) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS)' --libs '$(LIBS)' \
	$(MUTANT_CATCHERS)

# make check-mutants [MUTANTS="NAME..."] [MUTANT_SEEDS=20000] [MUTANT_SHARE=500]
MUTANT_SEEDS = 20000
MUTANT_SHARE = 500
check-mutants: $(MUTANT_NEEDS)
	$(MUTANT_RUN) --seeds $(MUTANT_SEEDS) --share $(MUTANT_SHARE) $(MUTANTS)

# What tests/mutants/mutants_test needs to build a few of them.
mutant-command:
	@echo "$(subst ",,$(MUTANT_RUN))"

.PHONY: check-mutants mutant-command
