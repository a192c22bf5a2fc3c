/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_HELP_H
#define SF_DOG_HELP_H

#include <stdio.h>

#include "client/dog/dog.h"

/* Usage, made from the tables of verbs. */
void help_nouns(FILE *out, const struct dog_noun *const *nouns);
void help_verbs(FILE *out, const struct dog_noun *noun);
void help_verb(FILE *out, const struct dog_noun *noun, const struct dog_verb *verb);
/* As it is typed: "dog vdi list", "dog status". */
enum { HELP_COMMAND_LEN = 64 };
void help_command(const struct dog_noun *noun, const struct dog_verb *verb, char text[HELP_COMMAND_LEN]);

#endif
