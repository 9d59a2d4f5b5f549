/* SPDX-License-Identifier: Apache-2.0 */
/* teller - see teller.h */
#include "workers/content/teller.h"

#include <stddef.h>

#include "lib/base/clock.h"

#define TELL_MS 100

static void
on_due(void *arg)
{
	struct teller *t = arg;

	t->timer = NULL;
	t->told_ms = clock_mono_ms();
	t->tell(t->arg);
}

void
teller_ask(struct teller *t, bool now)
{
	uint64_t since = clock_mono_ms() - t->told_ms;

	if (now)
		loop_del(&t->timer);
	if (t->timer == NULL)
		t->timer = loop_once(
		    t->loop, now || since >= TELL_MS ? 0 : TELL_MS - since, on_due, t);
}

void
teller_rest(struct teller *t)
{
	while (t->timer != NULL) {
		loop_del(&t->timer);
		on_due(t);
	}
}

void
teller_stop(struct teller *t)
{
	loop_del(&t->timer);
}
