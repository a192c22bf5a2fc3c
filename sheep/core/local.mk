# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += sheep/core/libcore.a
sheep_core_libcore_a_SOURCES = \
	sheep/core/absent.c \
	sheep/core/admin.c \
	sheep/core/admin.h \
	sheep/core/admin_local.c \
	sheep/core/call.c \
	sheep/core/check.c \
	sheep/core/code.c \
	sheep/core/core.h \
	sheep/core/disk_job.h \
	sheep/core/effects.c \
	sheep/core/epochs.c \
	sheep/core/leave.c \
	sheep/core/list.c \
	sheep/core/listing.c \
	sheep/core/membership.c \
	sheep/core/missing.c \
	sheep/core/node.c \
	sheep/core/node.h \
	sheep/core/object.c \
	sheep/core/peering.c \
	sheep/core/pg.c \
	sheep/core/pg.h \
	sheep/core/pg_log.c \
	sheep/core/plan.c \
	sheep/core/read.c \
	sheep/core/recovery.c \
	sheep/core/replica.c \
	sheep/core/resolve.c \
	sheep/core/scrub.c \
	sheep/core/status.c \
	sheep/core/stray.c \
	sheep/core/trouble.c \
	sheep/core/trouble.h \
	sheep/core/write.c
