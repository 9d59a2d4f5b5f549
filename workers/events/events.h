/* SPDX-License-Identifier: Apache-2.0 */
/* events - the state of the events actor; its folder's README tells the story. */
#ifndef CF_EVENTS_EVENTS_H
#define CF_EVENTS_EVENTS_H

#include "workers/events/drain.h"
#include "workers/events/journal.h"
#include "workers/events/readers.h"

#define EVENTS_DRAINS 3 /* content, snapshot, task */

struct events {
	struct journal *journal;
	struct readers *readers;
	struct drain *drains[EVENTS_DRAINS];
};

#endif
