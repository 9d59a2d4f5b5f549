/* SPDX-License-Identifier: Apache-2.0 */
/* ident - see ident.h */
#include "lib/base/ident.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/utf8.h"

static bool
alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool
ident_ok(const char *name)
{
	bool after_alnum = false;
	size_t n = 0;

	for (; name[n] != '\0'; n++) {
		if (n >= IDENT_MAX)
			return false;
		if (alnum(name[n]))
			after_alnum = true;
		else if (after_alnum && strchr("._-", name[n]) != NULL)
			after_alnum = false;
		else
			return false;
	}
	return after_alnum;
}

const char *
ident_show(const char *name, char *to, size_t size)
{
	size_t n = 0;

	while (*name != '\0') {
		size_t whole = utf8_printable(name);

		if (n + 8 >= size) {
			(void)snprintf(to + n, size - n, "...");
			return to;
		}
		if (whole == 0) {
			n += (size_t)snprintf(to + n, size - n, "\\x%02x", (unsigned char)*name++);
			continue;
		}
		memcpy(to + n, name, whole);
		n += whole;
		name += whole;
	}
	to[n] = '\0';
	return to;
}

int
ident_check(const char *what, const char *name, struct err *e)
{
	char show[96];

	if (ident_ok(name))
		return 0;
	if (name[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "%s name is empty", what);
	if (strlen(name) > IDENT_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "%s name \"%s\" is %zu bytes long: at most %d are allowed", what,
		    ident_show(name, show, sizeof(show)), strlen(name), IDENT_MAX);
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "%s name \"%s\" is not valid: use letters and digits, with single '.', '_' or '-' "
	    "between",
	    what, ident_show(name, show, sizeof(show)));
}

void
ident_random(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = 0;

		MUST(getrandom(&byte, 1, 0) == 1);
		(void)snprintf(text + 2 * i, 3, "%02x", byte);
	}
}
