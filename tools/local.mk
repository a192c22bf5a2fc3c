# SPDX-License-Identifier: Apache-2.0
dist_noinst_SCRIPTS = tools/build tools/install-deps tools/test
dist_noinst_SCRIPTS += tools/bench tools/cluster tools/demo tools/drill

noinst_PROGRAMS += tools/bench_create tools/bench_load tools/bench_limits
tools_bench_create_SOURCES = tools/bench_create.c
tools_bench_create_LDADD = $(CLIENT_LIBS)
tools_bench_load_SOURCES = tools/bench_data.c tools/bench_data.h tools/bench_load.c
tools_bench_load_LDADD = $(CLIENT_LIBS)
tools_bench_limits_SOURCES = tools/bench_limits.c
tools_bench_limits_LDADD = $(ISAL_LIBS)
EXTRA_DIST += tools/bench_fuse.py tools/bench_volumes.py
