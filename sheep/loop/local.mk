# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += sheep/loop/libloop.a
sheep_loop_libloop_a_SOURCES = sheep/loop/completions.c sheep/loop/completions.h \
	sheep/loop/compute_pool.c sheep/loop/compute_pool.h sheep/loop/daemon.c \
	sheep/loop/daemon.h sheep/loop/disk_thread.c sheep/loop/disk_thread.h
