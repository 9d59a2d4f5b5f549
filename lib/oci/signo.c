/* SPDX-License-Identifier: Apache-2.0 */
/* signo - see signo.h */
#include "lib/oci/signo.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/ident.h"

/* The kernel's range, which is what a container's programs use: the C library keeps 32 and 33. */
#define RT_MIN 34
#define RT_MAX 64

#define SIG(name)                \
	{                        \
#name, SIG##name \
	}
static const struct {
	const char *name;
	int number;
} signals[] = {
	SIG(HUP),
	SIG(INT),
	SIG(QUIT),
	SIG(ILL),
	SIG(TRAP),
	SIG(ABRT),
	SIG(BUS),
	SIG(FPE),
	SIG(KILL),
	SIG(USR1),
	SIG(SEGV),
	SIG(USR2),
	SIG(PIPE),
	SIG(ALRM),
	SIG(TERM),
	SIG(STKFLT),
	SIG(CHLD),
	SIG(CONT),
	SIG(STOP),
	SIG(TSTP),
	SIG(TTIN),
	SIG(TTOU),
	SIG(URG),
	SIG(XCPU),
	SIG(XFSZ),
	SIG(VTALRM),
	SIG(PROF),
	SIG(WINCH),
	SIG(IO),
	SIG(POLL),
	SIG(PWR),
	SIG(SYS),
	SIG(IOT),
};

/* A decimal number of at most max, all of text. */
static bool
number(const char *text, int max, int *ret)
{
	int n = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (*text - '0');
		if (n > max)
			return false;
	}
	*ret = n;
	return true;
}

static bool
realtime(const char *text, int *ret)
{
	int off = 0;

	if (strncasecmp(text, "RTMIN", 5) == 0) {
		if (text[5] != '\0' && (text[5] != '+' || !number(text + 6, RT_MAX - RT_MIN, &off)))
			return false;
		*ret = RT_MIN + off;
		return true;
	}
	if (strncasecmp(text, "RTMAX", 5) == 0) {
		if (text[5] != '\0' && (text[5] != '-' || !number(text + 6, RT_MAX - RT_MIN, &off)))
			return false;
		*ret = RT_MAX - off;
		return true;
	}
	return false;
}

int
oci_signal_parse(const char *text, int *ret, struct err *e)
{
	const char *bare = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	char shown[48];
	int n;

	if (number(text, RT_MAX, &n) && n > 0) {
		*ret = n;
		return 0;
	}
	if (realtime(bare, ret))
		return 0;
	for (size_t i = 0; i < COUNT(signals); i++)
		if (strcasecmp(bare, signals[i].name) == 0) {
			*ret = signals[i].number;
			return 0;
		}
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "signal \"%s\": not known; give a name like TERM or a number 1..64",
	    ident_show(text, shown, sizeof(shown)));
}
