/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DAEMON_H
#define SF_LOOP_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "lib/place/map.h"

/*
 * The daemon: one reactor that owns the node, the network and the membership driver, and
 * carries out what the node asks for. Everything in it runs on the calling thread but the disk
 * threads and the compute pool.
 */
enum { DAEMON_TEXT_LEN = 768 };
struct keys;

struct daemon_options {
	const char *meta_dir;
	const char *const *disk_dirs; /* [disk_count], each holds one store */
	uint32_t disk_count;
	const char *cluster;   /* of -c: "local", "local:DIR" */
	const char *bind_addr; /* NULL: loopback */
	const char *my_addr;   /* told to the others */
	const char *io_addr;   /* listened on too; NULL: none */
	uint16_t io_port;      /* and told to the others with it */
	const char *key_file;  /* read again at SIGHUP */
	const struct keys *keys; /* what it held; NULL: no key. Copied */
	uint16_t port;
	uint32_t zone;
	uint32_t weight; /* 0: each disk's capacity in GiB */
	bool gateway, nosync;
	uint32_t recovery_max; /* 0: default */
	uint32_t recovery_interval_ms; /* 0: none */
	uint64_t node_id;
	const char *version;
	const struct log *log; /* called from the disk threads too */
	void (*set_log_level)(const struct log *log, int level);
};

struct daemon;

/* Opens the stores, listens, and joins the live set. One line in text on failure; nothing is
 * left behind. -ECANCELED: asked to stop before it was a member. */
int daemon_create(const struct daemon_options *options, struct daemon **ret,
                  char text[DAEMON_TEXT_LEN]);
/* Until the daemon leaves: by SIGTERM or SIGINT, an operator's request, or an error. The
 * process's exit status. */
int daemon_run(struct daemon *daemon);
/* NULL is fine. */
void daemon_destroy(struct daemon *daemon);

#endif
