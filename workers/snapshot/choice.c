/* SPDX-License-Identifier: Apache-2.0 */
/* choice - which snapshotters work on this host, and which one is meant. */
#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/snapshot/snapshot.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

int
snapshotter_choose(struct snapshot_state *s, const char *name, struct err *e)
{
	for (unsigned i = 0; i < SNAPSHOTTER_COUNT; i++) {
		const struct snapshotter *sn = snapshotter_of((enum snapshotter_id)i);

		int r = sn->probe(s->shelf, s->fsverity, &s->problems[i]);

		if (r < 0)
			log_info(
			    "snapshotter %s does not work here: %s", sn->name, s->problems[i].msg);
		else if (r == 0 && s->chosen == NULL && name == NULL)
			s->chosen = sn;
	}
	if (name == NULL && s->chosen == NULL)
		return err_set(e, ERR_FAILED_PRECONDITION, "no snapshotter works on this host: %s",
		    s->problems[0].msg);
	if (name == NULL)
		return 0;
	s->chosen = snapshotter_wanted(s, name, e);
	return s->chosen == NULL ? err_wrap(e, "option snapshotter") : 0;
}

const struct snapshotter *
snapshotter_wanted(struct snapshot_state *s, const char *name, struct err *e)
{
	const struct snapshotter *sn = name == NULL ? s->chosen : snapshotter_named(name);
	char shown[64];

	if (sn == NULL) {
		(void)err_set(e, ERR_INVALID_ARGUMENT,
		    "snapshotter \"%s\": there is none of that name (ctr plugins list shows all)",
		    ident_show(name, shown, sizeof(shown)));
		return NULL;
	}
	if (s->problems[sn->id].code != ERR_NONE) {
		(void)err_set(e, ERR_FAILED_PRECONDITION, "snapshotter %s does not work here: %s",
		    sn->name, s->problems[sn->id].msg);
		return NULL;
	}
	return sn;
}

int
snapshot_on_snapshotters_list(struct snapshot_state *s, struct call *c, const struct nothing *req,
    struct snapshotters_list_rep *rep, struct err *e)
{
	static const char *const docs[] = {
#define SNAPSHOTTER(NAME, name, doc) doc,
#include "schemas/snapshotters.def"
	};
	struct snapshotter_info *v = arena_calloc(call_arena(c), SNAPSHOTTER_COUNT, sizeof(*v));

	(void)req;
	(void)e;
	for (unsigned i = 0; i < SNAPSHOTTER_COUNT; i++) {
		const struct snapshotter *sn = snapshotter_of((enum snapshotter_id)i);
		bool works = s->problems[i].code == ERR_NONE;

		v[i] = (struct snapshotter_info){ .name = sn->name,
			.doc = docs[i],
			.works = works,
			.chosen = sn == s->chosen,
			.problem = works ? NULL : s->problems[i].msg };
	}
	rep->snapshotters.v = v;
	rep->snapshotters.n = SNAPSHOTTER_COUNT;
	return 0;
}
