/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unbuilt"
#endif

static const char help[] =
	"usage: sheep [options] META_DIR[,DISK_DIR...]\n"
	"Sheepfold's storage daemon. META_DIR alone is also a disk.\n"
	"\n"
	"  -c, --cluster DRIVER    who decides membership: local[:DIR] (default; one machine), or\n"
	"                          zookeeper:HOST:PORT,...[/CLUSTER][,timeout=MS][,auth-file=FILE],\n"
	"                          corosync[:CLUSTER]\n"
	"  -p, --port PORT         port to listen on (7000)\n"
	"      --key FILE          the cluster's key: every connection is encrypted, and made\n"
	"                          only with it ($SHEEPFOLD_KEY_FILE; `dog key generate`)\n"
	"  -b, --bindaddr ADDR     address to listen on (all; without a key 127.0.0.1, and\n"
	"                          loopback addresses only)\n"
	"  -y, --myaddr ADDR       address told to the others (found out by itself)\n"
	"  -i, --ioaddr host=ADDR[,port=PORT]  a second network: listened on too, and told to\n"
	"                          the others instead, so that all data go there\n"
	"  -z, --zone N            failure zone (default: from the address)\n"
	"  -g, --gateway           serve clients, store nothing\n"
	"  -V, --vnodes N          weight of each disk, in GiB (default: its capacity)\n"
	"  -R, --recovery max=N[,interval=MS]\n"
	"                          objects being rebuilt at once, and begun in an interval\n"
	"  -l, --log level=error|warning|info|debug,dir=PATH,dst=file|stdout|syslog\n"
	"  -P, --pidfile FILE      write the process id there\n"
	"  -f, --foreground        do not go to the background\n"
	"  -n, --nosync            no fdatasync: tests only, a power cut loses data\n"
	"  -v, --version           print the version\n"
	"  -h, --help              print this\n";

enum { OPTION_KEY = 1000 };

static const struct option longs[] = {
	{"cluster", required_argument, NULL, 'c'},
	{"key", required_argument, NULL, OPTION_KEY},
	{"port", required_argument, NULL, 'p'},
	{"bindaddr", required_argument, NULL, 'b'},
	{"myaddr", required_argument, NULL, 'y'},
	{"zone", required_argument, NULL, 'z'},
	{"gateway", no_argument, NULL, 'g'},
	{"vnodes", required_argument, NULL, 'V'},
	{"recovery", required_argument, NULL, 'R'},
	{"log", required_argument, NULL, 'l'},
	{"pidfile", required_argument, NULL, 'P'},
	{"foreground", no_argument, NULL, 'f'},
	{"nosync", no_argument, NULL, 'n'},
	{"version", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"ioaddr", required_argument, NULL, 'i'},
	{"cache", required_argument, NULL, 'w'},
	{"journal", required_argument, NULL, 'j'},
	{"directio", no_argument, NULL, 'D'},
	{"wildcard-recovery", no_argument, NULL, 'W'},
	{"upgrade", no_argument, NULL, 'u'},
	{NULL, 0, NULL, 0},
};

/* What Sheepdog had and we do not: said in one line each. */
static const char *refused(int option)
{
	switch (option) {
	case 'w':
		return "-w: there is no object cache; every acknowledged write is on disk";
	case 'x':
		return "-x: there is no object cache to keep out of the way";
	case 'j':
		return "-j: the store is a log itself and needs no journal";
	case 'W':
		return "-W: recovery needs no such option; see `dog cluster recover`";
	case 'u':
		return "-u: this version has no older format to upgrade from";
	default:
		return NULL;
	}
}

static bool parse_number(const char *s, unsigned long long min, unsigned long long max,
                         unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *ret >= min && *ret <= max;
}

static bool parse_level(const char *s, enum log_level *ret)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
		{"emerg", LOG_LV_ERROR}, {"alert", LOG_LV_ERROR}, {"crit", LOG_LV_ERROR},
		{"err", LOG_LV_ERROR},   {"error", LOG_LV_ERROR}, {"warning", LOG_LV_WARN},
		{"notice", LOG_LV_INFO}, {"info", LOG_LV_INFO},   {"debug", LOG_LV_DEBUG},
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(s, levels[i].name)) {
			*ret = levels[i].level;
			return true;
		}
	return false;
}

static bool parse_sink(const char *s, enum log_sink *ret)
{
	if (!strcmp(s, "file") || !strcmp(s, "default"))
		*ret = LOG_TO_FILE;
	else if (!strcmp(s, "stdout"))
		*ret = LOG_TO_STDOUT;
	else if (!strcmp(s, "syslog"))
		*ret = LOG_TO_SYSLOG;
	else
		return false;
	return true;
}

static bool parse_log(char *arg, struct options *o, char text[OPTIONS_TEXT_LEN])
{
	for (char *save, *part = strtok_r(arg, ",", &save); part;
	     part = strtok_r(NULL, ",", &save)) {
		if (!strncmp(part, "level=", 6) && parse_level(part + 6, &o->log_level))
			continue;
		if (!strncmp(part, "dst=", 4) && parse_sink(part + 4, &o->log_sink))
			continue;
		if (!strncmp(part, "dir=", 4) && part[4]) {
			o->log_dir = part + 4;
			continue;
		}
		snprintf(text, OPTIONS_TEXT_LEN,
		         "-l %s: use level=error|warning|info|debug, dir=PATH, "
		         "dst=file|stdout|syslog",
		         part);
		return false;
	}
	return true;
}

static bool parse_recovery(char *arg, struct options *o, char text[OPTIONS_TEXT_LEN])
{
	unsigned long long n;

	for (char *save, *part = strtok_r(arg, ",", &save); part;
	     part = strtok_r(NULL, ",", &save)) {
		if (!strncmp(part, "max=", 4) && parse_number(part + 4, 1, 256, &n)) {
			o->recovery_max = n;
			continue;
		}
		if (!strncmp(part, "interval=", 9) && parse_number(part + 9, 0, 3600000, &n)) {
			o->recovery_interval_ms = n;
			continue;
		}
		snprintf(text, OPTIONS_TEXT_LEN,
		         "-R %.200s: use max=N (1 to 256 objects),interval=MS (0 to 3600000)", part);
		return false;
	}
	return true;
}

static bool parse_dirs(char *arg, struct options *o, char text[OPTIONS_TEXT_LEN])
{
	char *save;

	o->meta_dir = strtok_r(arg, ",", &save);
	if (!o->meta_dir) {
		snprintf(text, OPTIONS_TEXT_LEN, "META_DIR is empty");
		return false;
	}
	for (char *part; (part = strtok_r(NULL, ",", &save));) {
		if (o->disk_count == OPTIONS_MAX_DISKS) {
			snprintf(text, OPTIONS_TEXT_LEN, "more than %d disks", OPTIONS_MAX_DISKS);
			return false;
		}
		for (uint32_t i = 0; i < o->disk_count; i++)
			if (!strcmp(part, o->disk_dirs[i])) {
				snprintf(text, OPTIONS_TEXT_LEN, "%.400s is given twice", part);
				return false;
			}
		o->disk_dirs[o->disk_count++] = part;
	}
	return true;
}

static bool parse_ioaddr(char *arg, struct options *o, char text[OPTIONS_TEXT_LEN])
{
	unsigned long long n;

	for (char *save, *part = strtok_r(arg, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		if (!strncmp(part, "host=", 5) && part[5]) {
			o->io_addr = part + 5;
		} else if (!strncmp(part, "port=", 5) && parse_number(part + 5, 1, 65535, &n)) {
			o->io_port = n;
		} else {
			snprintf(text, OPTIONS_TEXT_LEN, "-i %s: use host=ADDR[,port=PORT]", part);
			return false;
		}
	}
	if (!o->io_addr)
		snprintf(text, OPTIONS_TEXT_LEN, "-i: host=ADDR is missing");
	return o->io_addr != NULL;
}

static bool parse_one(int option, char *arg, struct options *o, char text[OPTIONS_TEXT_LEN])
{
	unsigned long long n;

	switch (option) {
	case 'c':
		o->cluster = arg;
		return true;
	case 'p':
		if (!parse_number(arg, 1, 65535, &n))
			break;
		o->port = n;
		return true;
	case 'b':
		o->bind_addr = arg;
		return true;
	case 'y':
		o->my_addr = arg;
		return true;
	case 'i':
		return parse_ioaddr(arg, o, text);
	case OPTION_KEY:
		o->key_file = arg;
		return true;
	case 'z':
		if (!parse_number(arg, 0, UINT32_MAX, &n))
			break;
		o->zone = n;
		o->has_zone = true;
		return true;
	case 'V':
		if (!parse_number(arg, 1, 1 << 24, &n))
			break;
		o->weight = n;
		return true;
	case 'R':
		return parse_recovery(arg, o, text);
	case 'l':
		return parse_log(arg, o, text);
	case 'P':
		o->pidfile = arg;
		return true;
	case 'g':
		o->gateway = true;
		return true;
	case 'f':
		o->foreground = true;
		return true;
	case 'n':
		o->nosync = true;
		return true;
	case 'D': /* direct I/O is used wherever the file system has it */
		return true;
	}
	if (refused(option))
		snprintf(text, OPTIONS_TEXT_LEN, "%s", refused(option));
	else
		snprintf(text, OPTIONS_TEXT_LEN, "-%c %s: not a number in its range", option, arg);
	return false;
}

enum options_result options_parse(int argc, char **argv, struct options *ret,
                                  char text[OPTIONS_TEXT_LEN])
{
	struct options o = {.cluster = "local", .port = 7000, .log_level = LOG_LV_INFO};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:p:b:y:z:gV:R:l:P:fnvhi:w:xj:DWu", longs,
	                             NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return OPTIONS_DONE;
		}
		if (option == 'v') {
			puts("Sheepfold daemon version " PACKAGE_VERSION);
			return OPTIONS_DONE;
		}
		if (option == '?' || option == ':') {
			snprintf(text, OPTIONS_TEXT_LEN,
			         option == ':' ? "%s needs a value; see sheep --help"
			                       : "unknown option %s; see sheep --help",
			         argv[optind - 1]);
			return OPTIONS_BAD;
		}
		if (!parse_one(option, optarg, &o, text))
			return OPTIONS_BAD;
	}
	if (optind + 1 != argc) {
		snprintf(text, OPTIONS_TEXT_LEN,
		         "give one META_DIR[,DISK_DIR...]; see sheep --help");
		return OPTIONS_BAD;
	}
	if (!parse_dirs(argv[optind], &o, text))
		return OPTIONS_BAD;
	if (o.gateway && o.disk_count) {
		snprintf(text, OPTIONS_TEXT_LEN,
		         "-g: a gateway stores nothing; give META_DIR only");
		return OPTIONS_BAD;
	}
	*ret = o;
	return OPTIONS_RUN;
}
