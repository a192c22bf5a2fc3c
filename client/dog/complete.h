/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_COMPLETE_H
#define SF_DOG_COMPLETE_H

#include "client/dog/dog.h"

/*
 * dog __complete [WORD...]: what may stand for the last word, one a line, with what it means behind
 * a tab. The shells' completions (completion/) are this and nothing else, so that they know every
 * verb and option that dog has. Nothing: a file name, or there is nothing to say.
 */
int complete_words(const struct dog_noun *const *nouns, int argc, char **argv);

#endif
