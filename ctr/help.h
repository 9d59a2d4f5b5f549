/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help - the texts made from the tables of verbs and options: --help, the man page, and the
 * completion for bash. What a table does not say is nowhere.
 */
#ifndef CF_CTR_HELP_H
#define CF_CTR_HELP_H

#include <stdio.h>

#include "ctr/ctr.h"

void help_all(FILE *to);
void help_group(FILE *to, const struct group *g);
void help_verb(FILE *to, const struct verb *v);

void help_manual(FILE *to);	     /* ctr.1, roff */
void help_completion_bash(FILE *to); /* a script to be sourced */

#endif
