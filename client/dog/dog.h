/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_DOG_H
#define SF_DOG_DOG_H

#include <stdbool.h>
#include <stdint.h>

#include "include/sheepfold.h"

/*
 * dog NOUN VERB [options] [args]. Each noun has a table of verbs, which is where help, usage and
 * option parsing come from; a verb's function gets its arguments with the options taken out.
 */
enum dog_exit {
	DOG_OK = 0,
	DOG_FAILED = 1,
	DOG_SYSTEM = 2, /* no memory, cannot connect */
	DOG_EXISTS = 3,
	DOG_FULL = 4,
	DOG_MISSING = 5, /* no such object or name */
	DOG_USAGE = 64,
};

struct dog_option {
	char letter;       /* 0: only the long name */
	const char *name;  /* long name; what option_get asks for */
	const char *value; /* what stands for the value in help; NULL: a flag */
	const char *help;
};

enum { DOG_OPTIONS_MAX = 8 };

struct dog;
struct dog_verb {
	const char *name;
	const char *args; /* as in the usage line */
	const char *help; /* one line */
	int min_args, max_args;
	int (*run)(struct dog *dog, int argc, char **argv);
	struct dog_option options[DOG_OPTIONS_MAX];
};
struct dog_noun {
	const char *name;
	const char *help;
	const struct dog_verb *verbs; /* up to one without name */
};
extern const struct dog_noun dog_cluster, dog_node, dog_vdi, dog_status, dog_key;

struct dog {
	const char *address; /* NULL: localhost */
	const char *key_file; /* NULL: as the environment says */
	uint16_t port;
	bool raw, verbose, json, elapsed;
	const struct dog_noun *noun;
	const struct dog_verb *verb;
	const char *values[DOG_OPTIONS_MAX]; /* of verb->options; "" for a flag that is set */
	struct sf_cluster *cluster;
	const volatile bool *stop; /* for the cluster handle; NULL: a signal ends us at once */
};

/* NULL: not given; "" for a flag. */
const char *option_get(const struct dog *dog, const char *name);

/* From now on SIGINT, SIGTERM and SIGHUP make it true, once; the next one ends us. Before dog_connect. */
const volatile bool *dog_catch_interrupt(struct dog *dog);

/* Connects on first use. 0 or an exit code; the error has been printed. */
int dog_connect(struct dog *dog);

/* Prints "Failed to WHAT: WHY" (why: the library's sentence) and gives the exit code for err. */
int dog_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints one line about wrong arguments; DOG_USAGE. */
int dog_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
