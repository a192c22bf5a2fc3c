/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_OPTIONS_H
#define SF_FUSE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* fuse_opt.h */
struct fuse_args;

struct options {
	const char *address; /* NULL: localhost */
	uint16_t port;
	char *key; /* its file, absolute; NULL: none */
	bool foreground;
	bool no_cache; /* nothing is kept here: neither pages nor writes */
	bool all;      /* shows every volume, not only those that were asked for */
	uint32_t io_timeout_s;
	char *mountpoint; /* absolute */
};

enum { OPTIONS_GO_ON = -1 };

/* OPTIONS_GO_ON, or an exit code; what is wrong has been printed. fuse: what libfuse understands,
 * to be freed with fuse_opt_free_args in any case. */
int options_parse(struct options *o, int argc, char **argv, struct fuse_args *fuse);
void options_fini(struct options *o);

#endif
