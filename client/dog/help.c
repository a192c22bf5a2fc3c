/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/help.h"

#include <string.h>

enum { COLUMN = 34 };

static bool is_single(const struct dog_noun *noun)
{
	return strcmp(noun->verbs[0].name, noun->name) == 0;
}

static void entry(FILE *out, const char *left, const char *right)
{
	if (strlen(left) < COLUMN)
		fprintf(out, "  %-*s%s\n", COLUMN, left, right);
	else
		fprintf(out, "  %s\n  %-*s%s\n", left, COLUMN, "", right);
}

void help_command(const struct dog_noun *noun, const struct dog_verb *verb, char text[HELP_COMMAND_LEN])
{
	snprintf(text, HELP_COMMAND_LEN, "dog %s%s%s", noun->name, is_single(noun) ? "" : " ",
	         is_single(noun) ? "" : verb->name);
}

static void verb_entry(FILE *out, const struct dog_noun *noun, const struct dog_verb *verb)
{
	char left[128];

	snprintf(left, sizeof(left), "%s%s%s%s%s", noun->name, is_single(noun) ? "" : " ",
	         is_single(noun) ? "" : verb->name, *verb->args ? " " : "", verb->args);
	entry(out, left, verb->help);
}

static void common_options(FILE *out)
{
	fputs("\nCommon options:\n", out);
	entry(out, "-a, --address ADDRESS", "a daemon's address (localhost)");
	entry(out, "-p, --port PORT", "its port (7000)");
	entry(out, "    --key FILE", "the cluster's key ($SHEEPFOLD_KEY_FILE)");
	entry(out, "-r, --raw", "no headers, one space between fields, sizes in bytes");
	entry(out, "-v, --verbose", "say more");
	entry(out, "-T, --time", "say how long it took");
	entry(out, "    --json", "JSON, on everything that lists or shows");
	entry(out, "-h, --help", "this help");
}

void help_nouns(FILE *out, const struct dog_noun *const *nouns)
{
	fputs("Sheepfold's command line.\n\nUsage: dog NOUN VERB [options] [args]\n", out);
	for (int i = 0; nouns[i]; i++) {
		fprintf(out, "\n%s\n", nouns[i]->help);
		for (const struct dog_verb *v = nouns[i]->verbs; v->name; v++)
			verb_entry(out, nouns[i], v);
	}
	common_options(out);
	fputs("\nSizes take K M G T P (powers of 1024). dog NOUN VERB -h says more about one verb.\n",
	      out);
}

void help_verbs(FILE *out, const struct dog_noun *noun)
{
	fprintf(out, "Usage: dog %s VERB [options] [args]\n\n%s\n", noun->name, noun->help);
	for (const struct dog_verb *v = noun->verbs; v->name; v++)
		verb_entry(out, noun, v);
	common_options(out);
}

void help_verb(FILE *out, const struct dog_noun *noun, const struct dog_verb *verb)
{
	char command[HELP_COMMAND_LEN];

	help_command(noun, verb, command);
	fprintf(out, "Usage: %s [options]%s%s\n\n%s\n", command, *verb->args ? " " : "", verb->args,
	        verb->help);
	if (verb->options[0].name)
		fputs("\nOptions:\n", out);
	for (int i = 0; i < DOG_OPTIONS_MAX && verb->options[i].name; i++) {
		const struct dog_option *o = &verb->options[i];
		char left[80], letter[5] = "    ";

		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->value ? " " : "",
		         o->value ? o->value : "");
		entry(out, left, o->help);
	}
	common_options(out);
	/* Nouns with few verbs are on the page of all. */
	if (!is_single(noun) && noun->verbs[1].name)
		fprintf(out, "\nMore, with an example: man dog-%s\n", noun->name);
	else
		fputs("\nMore, with an example: man dog\n", out);
}
