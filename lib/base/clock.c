/* SPDX-License-Identifier: Apache-2.0 */
/* clock - see clock.h */
#include "lib/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000LL

static int64_t
clock_ns(clockid_t id)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

uint64_t
clock_mono_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t
clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static const char *
time_text(int64_t real_ns, char *text, int fraction)
{
	int64_t s = real_ns / NS_PER_S, ns = real_ns % NS_PER_S;
	struct tm tm;
	time_t t;
	size_t n;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	t = (time_t)s;
	if (real_ns == 0 || gmtime_r(&t, &tm) == NULL)
		return strcpy(text, "-");
	n = strftime(text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (fraction)
		(void)snprintf(text + n, CLOCK_TEXT_MAX - n, ".%09dZ", (int)ns);
	else
		(void)snprintf(text + n, CLOCK_TEXT_MAX - n, "Z");
	return text;
}

const char *
clock_text(int64_t real_ns, char *text)
{
	return time_text(real_ns, text, 1);
}

const char *
clock_text_s(int64_t real_ns, char *text)
{
	return time_text(real_ns, text, 0);
}

/* ".123": digits behind the ninth do not count. */
static const char *
fraction_parse(const char *at, int64_t *ns)
{
	int64_t unit = NS_PER_S / 10;

	*ns = 0;
	if (*at != '.')
		return at;
	for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
		*ns += unit * (*at - '0');
	return at;
}

/* "Z", "+01:30": seconds east of Greenwich. */
static bool
zone_parse(const char *at, int64_t *s)
{
	unsigned h, m;
	int n = 0;

	*s = 0;
	if (strcmp(at, "Z") == 0 || strcmp(at, "z") == 0)
		return true;
	if ((*at != '+' && *at != '-') || sscanf(at + 1, "%2u:%2u%n", &h, &m, &n) != 2 || n != 5 ||
	    at[6] != '\0' || h > 23 || m > 59)
		return false;
	*s = (int64_t)(h * 60 + m) * 60 * (*at == '-' ? -1 : 1);
	return true;
}

bool
clock_parse(const char *text, int64_t *ret_real_ns)
{
	struct tm tm = { .tm_year = 0 };
	int64_t ns, zone;
	const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	/* years beyond those that nanoseconds in 64 bits can count are refused */
	if (at == NULL || tm.tm_year < 70 || tm.tm_year > 360)
		return false;
	at = fraction_parse(at, &ns);
	if (!zone_parse(at, &zone))
		return false;
	*ret_real_ns = ((int64_t)timegm(&tm) - zone) * NS_PER_S + ns;
	return true;
}
