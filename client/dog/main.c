/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/dog/complete.h"
#include "client/dog/dog.h"
#include "client/dog/help.h"
#include "client/dog/text.h"

static const struct dog_noun *const nouns[] = {&dog_cluster, &dog_node, &dog_vdi, &dog_key, &dog_status,
                                               NULL};

/* Common options in front of the verb's: their values as getopt gives them. */
enum { OPT_JSON = 1000, OPT_KEY, OPT_VERB = 2000 };

/* ---- What verbs use ---- */

const char *option_get(const struct dog *dog, const char *name)
{
	for (int i = 0; i < DOG_OPTIONS_MAX && dog->verb->options[i].name; i++) {
		if (strcmp(dog->verb->options[i].name, name) == 0)
			return dog->values[i];
	}
	return NULL;
}

static int exit_code(int err)
{
	switch (err) {
	case 0:
		return DOG_OK;
	case -ENOTCONN:
	case -ENOMEM:
		return DOG_SYSTEM;
	case -EEXIST:
		return DOG_EXISTS;
	case -ENOSPC:
		return DOG_FULL;
	case -ENOENT:
		return DOG_MISSING;
	default:
		return DOG_FAILED;
	}
}

/* What the user gave may hold a line feed, or what changes the terminal. */
static void say(const char *fmt, va_list ap)
{
	char line[2048];

	vsnprintf(line, sizeof(line), fmt, ap);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	fputs(line, stderr);
}

int dog_fail(int err, const char *fmt, ...)
{
	const char *why = sf_error();
	va_list ap;

	fputs("Failed to ", stderr);
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", *why ? why : strerror(-err));
	return exit_code(err);
}

int dog_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return DOG_USAGE;
}

static volatile bool interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = true;
}

const volatile bool *dog_catch_interrupt(struct dog *dog)
{
	struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	dog->stop = &interrupted;
	return dog->stop;
}

int dog_connect(struct dog *dog)
{
	struct sf_options options = {
		.address = dog->address, .port = dog->port, .key_file = dog->key_file, .stop = dog->stop};
	int err;

	if (dog->cluster)
		return 0;
	err = sf_connect(&options, &dog->cluster);
	if (err < 0) {
		fprintf(stderr, "%s\n", sf_error());
		return DOG_SYSTEM;
	}
	return 0;
}

/* ---- Finding noun and verb ---- */

static const struct dog_noun *noun_find(const char *name)
{
	for (int i = 0; nouns[i]; i++)
		if (strcmp(nouns[i]->name, name) == 0)
			return nouns[i];
	return NULL;
}

static const struct dog_verb *verb_find(const struct dog_noun *noun, const char *name)
{
	for (const struct dog_verb *v = noun->verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static bool is_help(const char *arg)
{
	return strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0 || strcmp(arg, "help") == 0;
}

/* Sets noun and verb and *ret_skip, the words they take. A negative result means: go on. */
static int command_find(struct dog *dog, int argc, char **argv, int *ret_skip)
{
	if (argc < 2) {
		help_nouns(stderr, nouns);
		return DOG_USAGE;
	}
	if (is_help(argv[1])) {
		help_nouns(stdout, nouns);
		return DOG_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("Sheepfold dog %s\n", sf_version());
		return DOG_OK;
	}
	if (strcmp(argv[1], "__complete") == 0)
		return complete_words(nouns, argc - 2, argv + 2);
	dog->noun = noun_find(argv[1]);
	if (!dog->noun)
		return dog_usage("'%s' is no noun of dog; see dog -h", argv[1]);
	/* A noun whose only verb has its name is a command of one word. */
	if (strcmp(dog->noun->verbs[0].name, dog->noun->name) == 0) {
		dog->verb = dog->noun->verbs;
		*ret_skip = 1;
		return -1;
	}
	if (argc < 3 || is_help(argv[2])) {
		help_verbs(argc < 3 ? stderr : stdout, dog->noun);
		return argc < 3 ? DOG_USAGE : DOG_OK;
	}
	dog->verb = verb_find(dog->noun, argv[2]);
	if (!dog->verb)
		return dog_usage("'%s' is no verb of dog %s; see dog %s -h", argv[2], argv[1],
		                 argv[1]);
	*ret_skip = 2;
	return -1;
}

/* ---- Options ---- */

enum { COMMON_OPTIONS = 8, LONG_MAX = COMMON_OPTIONS + DOG_OPTIONS_MAX + 1, SHORT_MAX = 64 };

static void options_build(const struct dog_verb *verb, char short_options[SHORT_MAX],
                          struct option long_options[LONG_MAX])
{
	static const struct option common[COMMON_OPTIONS] = {
		{"address", required_argument, NULL, 'a'}, {"port", required_argument, NULL, 'p'},
		{"raw", no_argument, NULL, 'r'},           {"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},          {"time", no_argument, NULL, 'T'},
		{"json", no_argument, NULL, OPT_JSON},   {"key", required_argument, NULL, OPT_KEY},
	};
	size_t len = (size_t)snprintf(short_options, SHORT_MAX, ":a:p:rvhT");
	int n = COMMON_OPTIONS;

	memcpy(long_options, common, sizeof(common));
	for (int i = 0; i < DOG_OPTIONS_MAX && verb->options[i].name; i++) {
		const struct dog_option *o = &verb->options[i];

		long_options[n++] = (struct option){
			o->name, o->value ? required_argument : no_argument, NULL, OPT_VERB + i};
		if (o->letter)
			len += (size_t)snprintf(short_options + len, SHORT_MAX - len, "%c%s",
			                        o->letter, o->value ? ":" : "");
	}
	long_options[n] = (struct option){0};
}

/* A letter may mean the verb's option even where a common one has it. */
static int verb_option(const struct dog_verb *verb, int c)
{
	if (c >= OPT_VERB)
		return c - OPT_VERB;
	for (int i = 0; i < DOG_OPTIONS_MAX && verb->options[i].name; i++)
		if (verb->options[i].letter && verb->options[i].letter == c)
			return i;
	return -1;
}

static int option_common(struct dog *dog, int c, const char *word)
{
	char command[HELP_COMMAND_LEN];
	uint64_t port;

	switch (c) {
	case 'a':
		dog->address = optarg;
		return -1;
	case 'p':
		if (text_parse_number(optarg, 65535, &port) < 0 || port == 0)
			return dog_usage("'%s' is no port", optarg);
		dog->port = (uint16_t)port;
		return -1;
	case 'r':
		dog->raw = true;
		return -1;
	case 'v':
		dog->verbose = true;
		return -1;
	case 'T':
		dog->elapsed = true;
		return -1;
	case OPT_JSON:
		dog->json = true;
		return -1;
	case OPT_KEY:
		dog->key_file = optarg;
		return -1;
	case 'h':
		help_verb(stdout, dog->noun, dog->verb);
		return DOG_OK;
	case ':':
		return dog_usage("%s needs a value", word);
	default:
		help_command(dog->noun, dog->verb, command);
		return dog_usage("unknown option %s; see %s -h", word, command);
	}
}

/* A negative result means: go on; the arguments are argv[optind..argc). */
static int options_parse(struct dog *dog, int argc, char **argv)
{
	struct option long_options[LONG_MAX];
	char short_options[SHORT_MAX];
	int c, i, result;

	options_build(dog->verb, short_options, long_options);
	opterr = 0;
	while ((c = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		/* In -Zr getopt is not past the word yet: an unknown letter is named alone. */
		const char letter[] = {'-', (char)optopt, 0};
		bool unknown = c == '?' && optopt && !strchr(short_options, optopt);
		const char *word = unknown ? letter : argv[optind - 1];

		i = verb_option(dog->verb, c);
		if (i >= 0) {
			dog->values[i] = optarg ? optarg : "";
			continue;
		}
		result = option_common(dog, c, word);
		if (result >= 0)
			return result;
	}
	return -1;
}

static int verb_run(struct dog *dog, int argc, char **argv)
{
	int code = options_parse(dog, argc, argv);
	int count = argc - optind;
	char command[HELP_COMMAND_LEN];

	if (code >= 0)
		return code;
	if (count < dog->verb->min_args || count > dog->verb->max_args) {
		help_command(dog->noun, dog->verb, command);
		return dog_usage("%s takes %s; see %s -h", command,
		                 *dog->verb->args ? dog->verb->args : "no arguments", command);
	}
	return dog->verb->run(dog, count, argv + optind);
}

/*
 * A standard stream that came closed would be the next file opened, a connection to a daemon, and
 * get the output. In its place stands what answers EBADF.
 */
static void streams_guard(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	struct dog dog = {0};
	struct timespec begin, end;
	int skip = 0, code = command_find(&dog, argc, argv, &skip);

	if (code >= 0)
		return code;
	streams_guard();
	signal(SIGPIPE, SIG_IGN);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	code = verb_run(&dog, argc - skip, argv + skip);
	sf_disconnect(dog.cluster);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (dog.elapsed)
		fprintf(stderr, "Time elapsed: %.3f s\n",
		        (double)(end.tv_sec - begin.tv_sec) +
		                (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	/* What was printed must have arrived. */
	if (fflush(stdout) != 0 && code == DOG_OK) {
		fprintf(stderr, "Failed to write the output: %s\n", strerror(errno));
		code = DOG_SYSTEM;
	}
	return code;
}
