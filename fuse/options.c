/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/options.h"

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/memory.h"
#include "include/sheepfold.h"

enum { EXIT_USAGE = 64, IO_TIMEOUT_S = 60, IO_TIMEOUT_MAX_S = 86400, OPT_KEY = 1000 };

static const char help[] =
	"Usage: sheepfs [OPTION...] MOUNTPOINT\n"
	"Shows a Sheepfold cluster and its volumes as files.\n"
	"\n"
	"  -a, --address ADDRESS   a daemon of the cluster (localhost)\n"
	"  -p, --port PORT         its port (7000)\n"
	"      --key FILE          the cluster's key ($SHEEPFOLD_KEY_FILE)\n"
	"  -f, --foreground        stay in the foreground\n"
	"  -n, --nocache           keep nothing here: a write is durable when it returns, a read asks\n"
	"                          the cluster\n"
	"  -o OPTION[,OPTION...]   all               show every volume, not only those written into\n"
	"                                            vdi/mount\n"
	"                          io_timeout=SECONDS  when a halted cluster gives EIO (60)\n"
	"                          or what mount.fuse3(8) knows: allow_other, ro, ...\n"
	"  -v, --version           show the version\n"
	"  -h, --help              show this\n"
	"\n"
	"echo NAME > MOUNTPOINT/vdi/mount makes MOUNTPOINT/volume/NAME appear (NAME@TAG: a snapshot).\n"
	"fusermount3 -u MOUNTPOINT unmounts.\n";

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *format, ...)
{
	va_list ap;

	fputs("sheepfs: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

static int number_parse(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return errno || *end || *ret == 0 || *ret > max ? -EINVAL : 0;
}

static int suboption_parse(struct options *o, const char *word, struct fuse_args *fuse)
{
	static const char timeout[] = "io_timeout=";
	unsigned long n;

	if (strcmp(word, "all") == 0) {
		o->all = true;
		return OPTIONS_GO_ON;
	}
	if (strncmp(word, timeout, sizeof(timeout) - 1) == 0) {
		if (number_parse(word + sizeof(timeout) - 1, IO_TIMEOUT_MAX_S, &n) < 0)
			return usage("'%.60s': give the seconds, 1 to %d", word, IO_TIMEOUT_MAX_S);
		o->io_timeout_s = (uint32_t)n;
		return OPTIONS_GO_ON;
	}
	if (fuse_opt_add_arg(fuse, "-o") < 0 || fuse_opt_add_arg(fuse, word) < 0)
		abort();
	return OPTIONS_GO_ON;
}

/* WORD,WORD,...; a comma in a value is written \, and left to libfuse. */
static int suboptions_parse(struct options *o, const char *text, struct fuse_args *fuse)
{
	char *copy = memory_text(text), *word = copy, *end;
	int code = OPTIONS_GO_ON;

	while (word && code == OPTIONS_GO_ON) {
		end = word + strcspn(word, ",");
		while (*end && end > word && end[-1] == '\\')
			end += 1 + strcspn(end + 1, ",");
		if (*end)
			*end++ = '\0';
		else
			end = NULL;
		if (*word)
			code = suboption_parse(o, word, fuse);
		word = end;
	}
	free(copy);
	return code;
}

static int option_take(struct options *o, int c, const char *word, struct fuse_args *fuse)
{
	unsigned long n;

	switch (c) {
	case 'a':
		o->address = optarg;
		return OPTIONS_GO_ON;
	case 'p':
		if (number_parse(optarg, 65535, &n) < 0)
			return usage("'%.40s' is no port", optarg);
		o->port = (uint16_t)n;
		return OPTIONS_GO_ON;
	case OPT_KEY:
		/* The working directory changes later. */
		free(o->key);
		o->key = realpath(optarg, NULL);
		if (!o->key)
			o->key = memory_text(optarg);
		return OPTIONS_GO_ON;
	case 'f':
		o->foreground = true;
		return OPTIONS_GO_ON;
	case 'n':
		o->no_cache = true;
		return OPTIONS_GO_ON;
	case 'k': /* Sheepdog: use the page cache, which is what happens anyway */
		return OPTIONS_GO_ON;
	case 'o':
		return suboptions_parse(o, optarg, fuse);
	case 'v':
		printf("Sheepfold sheepfs %s\n", sf_version());
		return EXIT_SUCCESS;
	case 'h':
		fputs(help, stdout);
		return EXIT_SUCCESS;
	case ':':
		return usage("%s needs a value", word);
	default:
		return usage("unknown option %s; see sheepfs -h", word);
	}
}

static int mountpoint_take(struct options *o, const char *path)
{
	char inside[PATH_MAX + 16];
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOTCONN)
			fprintf(stderr,
			        "sheepfs: %s is a mount whose program is gone; fusermount3 -u %s "
			        "first\n",
			        path, path);
		else
			fprintf(stderr, "sheepfs: cannot mount on %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	if (!S_ISDIR(st.st_mode)) {
		fprintf(stderr, "sheepfs: cannot mount on %s: it is no directory\n", path);
		return EXIT_FAILURE;
	}
	snprintf(inside, sizeof(inside), "%s/vdi/unmount", path);
	if (access(inside, F_OK) == 0) {
		fprintf(stderr, "sheepfs: a cluster is mounted on %s already\n", path);
		return EXIT_FAILURE;
	}
	o->mountpoint = realpath(path, NULL);
	if (!o->mountpoint) {
		fprintf(stderr, "sheepfs: cannot mount on %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	return OPTIONS_GO_ON;
}

int options_parse(struct options *o, int argc, char **argv, struct fuse_args *fuse)
{
	static const struct option longer[] = {
		{"address", required_argument, NULL, 'a'},
		{"port", required_argument, NULL, 'p'},
		{"key", required_argument, NULL, OPT_KEY},
		{"foreground", no_argument, NULL, 'f'},
		{"nocache", no_argument, NULL, 'n'},
		{"noobjectcache", no_argument, NULL, 'n'},
		{"page-cache", no_argument, NULL, 'k'},
		{"options", required_argument, NULL, 'o'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, code = OPTIONS_GO_ON;

	*o = (struct options){.io_timeout_s = IO_TIMEOUT_S};
	if (fuse_opt_add_arg(fuse, "sheepfs") < 0)
		abort();
	opterr = 0;
	while (code == OPTIONS_GO_ON &&
	       (c = getopt_long(argc, argv, ":a:p:fnko:vh", longer, NULL)) != -1)
		code = option_take(o, c, argv[optind > 1 ? optind - 1 : 1], fuse);
	if (code != OPTIONS_GO_ON)
		return code;
	if (optind == argc)
		return usage("where? give a directory to mount on; see sheepfs -h");
	if (optind + 1 < argc)
		return usage("one directory to mount on, not %d; see sheepfs -h", argc - optind);
	return mountpoint_take(o, argv[optind]);
}

void options_fini(struct options *o)
{
	free(o->key);
	free(o->mountpoint);
}
