/* SPDX-License-Identifier: Apache-2.0 */
/* handlers_layer - layer_unpack and layer_follow: the machine is in layers.c. */
#include "workers/snapshot/snapshot.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

int
snapshot_on_layer_unpack(struct snapshot_state *s, struct call *c,
    const struct layer_unpack_req *req, struct layer_unpack_rep *rep, struct err *e)
{
	return layers_unpack(s, c, req, rep, e);
}

int
snapshot_on_layer_follow(struct snapshot_state *s, struct call *c,
    const struct layer_follow_req *req, struct nothing *rep, struct err *e)
{
	(void)rep;
	return layers_follow(s, c, req, e);
}
