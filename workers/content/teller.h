/* SPDX-License-Identifier: Apache-2.0 */
/*
 * teller - when a caller is told how far its transfer is: at once when something new began, else every
 * 100 ms.
 */
#ifndef CF_CONTENT_TELLER_H
#define CF_CONTENT_TELLER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/loop.h"

struct teller {
	struct loop *loop;
	void (*tell)(void *arg); /* from the loop; may ask again */
	void *arg;
	struct loop_source *timer;
	uint64_t told_ms;
};

/* Something is to be told; now: with the loop's next turn. */
void teller_ask(struct teller *t, bool now);
/* Tells what was not told yet, before the answer. */
void teller_rest(struct teller *t);
void teller_stop(struct teller *t);

#endif
