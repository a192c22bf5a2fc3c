/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/complete.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/text.h"

enum { WAIT_MS = 1000 };

static void offer(const char *word, const char *help)
{
	printf("%s\t%.*s\n", word, (int)strcspn(help, "\n"), help);
}

static const struct dog_noun *noun_called(const struct dog_noun *const *nouns, const char *name)
{
	for (int i = 0; nouns[i]; i++)
		if (!strcmp(nouns[i]->name, name))
			return nouns[i];
	return NULL;
}

static bool is_single(const struct dog_noun *noun)
{
	return !strcmp(noun->verbs[0].name, noun->name);
}

static void offer_options(const struct dog_verb *verb)
{
	static const struct dog_option common[] = {
		{'a', "address", "ADDRESS", "a daemon's address"},
		{'p', "port", "PORT", "its port"},
		{'r', "raw", NULL, "no headers, sizes in bytes"},
		{'v', "verbose", NULL, "say more"},
		{'T', "time", NULL, "say how long it took"},
		{0, "json", NULL, "JSON"},
		{'h', "help", NULL, "help"},
	};
	char word[64];

	for (int i = 0; i < DOG_OPTIONS_MAX && verb->options[i].name; i++) {
		snprintf(word, sizeof(word), "--%s", verb->options[i].name);
		offer(word, verb->options[i].help);
		snprintf(word, sizeof(word), "-%c", verb->options[i].letter);
		if (verb->options[i].letter)
			offer(word, verb->options[i].help);
	}
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
		snprintf(word, sizeof(word), "--%s", common[i].name);
		offer(word, common[i].help);
	}
}

static struct sf_cluster *connect_soon(void)
{
	struct sf_options options = {.timeout_ms = WAIT_MS};
	struct sf_cluster *cluster;

	return sf_connect(&options, &cluster) == 0 ? cluster : NULL;
}

static void offer_volumes(void)
{
	struct sf_cluster *cluster = connect_soon();
	struct sf_volume_info *list;
	size_t count = 0;

	if (cluster && sf_volume_list(cluster, &list, &count) == 0) {
		for (size_t i = 0; i < count; i++)
			if (!list[i].snapshot_id && !strpbrk(list[i].name, " \t\n\"'\\"))
				offer(list[i].name, "");
		free(list);
	}
	sf_disconnect(cluster);
}

static void offer_nodes(void)
{
	struct sf_cluster *cluster = connect_soon();
	char address[TEXT_ADDR_LEN];
	struct sf_map *map;

	if (cluster && sf_map_get(cluster, 0, &map) == 0) {
		for (uint32_t i = 0; i < map->node_count; i++)
			offer(text_address(map->nodes[i].address, map->nodes[i].port, address),
			      map->nodes[i].up ? "up" : "down");
		sf_map_free(map);
	}
	sf_disconnect(cluster);
}

/*
 * A verb's usage line tells what its arguments are: alternatives are separated by " | ", words in
 * small letters stand for themselves, "on|off" for either, NAME and ID|ADDRESS for what there is.
 */
static bool fits(char *const *words, int count, const char *const *parts, int parts_count)
{
	for (int i = 0; i < count && i < parts_count; i++)
		if (islower((unsigned char)parts[i][0]) && !strchr(parts[i], '|') &&
		    strcmp(words[i], parts[i]) != 0)
			return false;
	return count < parts_count;
}

static void offer_part(const char *part)
{
	char copy[64], *save;

	if (strstr(part, "ADDRESS")) {
		offer_nodes();
	} else if (!strncmp(part, "NAME", 4)) {
		offer_volumes();
	} else if (islower((unsigned char)part[0])) {
		snprintf(copy, sizeof(copy), "%s", part);
		for (char *word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save))
			if (islower((unsigned char)word[0]))
				offer(word, "");
	}
}

static void offer_alternative(char *text, char *const *words, int count)
{
	const char *parts[8];
	char *save;
	int n = 0;

	for (char *part = strtok_r(text, " []", &save); part && n < 8; part = strtok_r(NULL, " []", &save))
		parts[n++] = part;
	if (fits(words, count, parts, n))
		offer_part(parts[count]);
}

/* words: the arguments that are complete, options taken out. */
static void offer_arguments(const struct dog_verb *verb, char *const *words, int count)
{
	char args[256], *text = args, *next;

	snprintf(args, sizeof(args), "%s", verb->args);
	for (; text; text = next) {
		next = strstr(text, " | ");
		if (next) {
			*next = 0;
			next += 3;
		}
		offer_alternative(text, words, count);
	}
}

/* Options are out of the way; one that takes a value in the word behind it is rare enough. */
static void offer_for_verb(const struct dog_verb *verb, int argc, char **argv)
{
	char *words[8];
	int count = 0;

	if (argv[argc - 1][0] == '-') {
		offer_options(verb);
		return;
	}
	for (int i = 0; i < argc - 1 && count < 8; i++)
		if (argv[i][0] != '-')
			words[count++] = argv[i];
	offer_arguments(verb, words, count);
}

int complete_words(const struct dog_noun *const *nouns, int argc, char **argv)
{
	const struct dog_noun *noun;

	if (argc < 2) {
		for (int i = 0; nouns[i]; i++)
			offer(nouns[i]->name, nouns[i]->help);
		return DOG_OK;
	}
	noun = noun_called(nouns, argv[0]);
	if (!noun)
		return DOG_OK;
	if (is_single(noun)) {
		offer_for_verb(noun->verbs, argc - 1, argv + 1);
		return DOG_OK;
	}
	for (const struct dog_verb *v = noun->verbs; v->name; v++) {
		if (argc == 2)
			offer(v->name, v->help);
		else if (!strcmp(v->name, argv[1]))
			offer_for_verb(v, argc - 2, argv + 2);
	}
	return DOG_OK;
}
