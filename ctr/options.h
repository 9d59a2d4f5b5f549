/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - the words behind a command, read by a table.
 *
 * The same tables give --help, the man page and the shell completion. Understood: --name VALUE,
 * --name=VALUE, -n VALUE, -nVALUE, flags in a bunch (-it), --flag=false, and "--", behind which
 * nothing is an option. Options may stand anywhere before the command that a container is to run;
 * from its first word on everything is taken as it is.
 */
#ifndef CF_CTR_OPTIONS_H
#define CF_CTR_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

enum opt_kind {
	OPT_FLAG, /* no value */
	OPT_TEXT, /* the last one counts */
	OPT_LIST  /* each one counts */
};

/* A table is an array of these that ends with a NULL name. */
struct opt {
	const char *name; /* long name, without dashes */
	char letter;	  /* short name, 0 = none */
	enum opt_kind kind;
	const char *arg; /* what help calls the value, NULL for flags */
	const char *help;
	const char *also; /* further long names, "a|b", for habits from elsewhere; not in help */
};

struct opt_slot {
	const struct opt *opt;
	struct strs values;
	uint32_t room;
};

struct opts {
	struct opt_slot *slots;
	unsigned nslots;
	struct strs args;   /* the other words, and the container's command */
	struct arena arena; /* owns the lists; the words themselves are those of argv */
};

#define OPTS_ZERO ((struct opts){ .slots = NULL })
#define OPTS_NO_COMMAND UINT_MAX

/*
 * Reads the NULL-terminated words. tables: NULL-terminated; where two options share a name or letter
 * the first table wins. command_after: so many words stand before the container's command;
 * OPTS_NO_COMMAND when the verb takes none. invalid_argument names the word that is wrong.
 */
int opts_parse(struct opts *o, const struct opt *const *tables, unsigned command_after,
    char **words, struct err *e);
void opts_free(struct opts *o);

/* What was given; the name must be in a table (checked). Absent: false, NULL, an empty list. */
bool opts_flag(const struct opts *o, const char *name);
const char *opts_text(const struct opts *o, const char *name);
struct strs opts_list(const struct opts *o, const char *name);
/* The slot of exactly this option, whatever shares its name; NULL when its table was not given. */
const struct opt_slot *opts_slot(const struct opts *o, const struct opt *opt);

/* Values with a form; absent leaves *ret as it is. */
int opts_number(const struct opts *o, const char *name, uint64_t *ret, struct err *e);
int opts_signed(const struct opts *o, const char *name, int64_t *ret, struct err *e);
int opts_bytes(const struct opts *o, const char *name, uint64_t *ret, struct err *e);
int opts_duration_ms(const struct opts *o, const char *name, uint64_t *ret, struct err *e);

/* "10", "10s", "1.5m", "500ms", "2h": milliseconds; a bare number is seconds. */
int parse_duration_ms(const char *text, uint64_t *ret, struct err *e);
/* "65536", "64k", "512m", "1.5g", "64MiB": bytes, in powers of 1024. */
int parse_bytes(const char *text, uint64_t *ret, struct err *e);
/* "15", "TERM", "SIGTERM", "sigterm", "RTMIN+3": the number of a signal. */
int parse_signal(const char *text, uint64_t *ret, struct err *e);

#endif
