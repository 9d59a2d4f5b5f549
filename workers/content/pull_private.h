/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull_private - what pull.c (the state machine) and pull_items.c (parts, downloads, unpacking, progress)
 * share.
 */
#ifndef CF_CONTENT_PULL_PRIVATE_H
#define CF_CONTENT_PULL_PRIVATE_H

#include "lib/oci/reference.h"
#include "workers/content/fetch.h"
#include "workers/content/pull.h"
#include "workers/content/tree.h"

struct pull;

enum item_state {
	ITEM_RESOLVING,
	ITEM_WAITING,
	ITEM_DOWNLOADING,
	ITEM_UNPACKING,
	ITEM_EXISTS,
	ITEM_DONE
};

struct pull_part {
	struct pull *pull;
	const char *kind; /* as pull_item */
	struct oci_desc desc;
	enum item_state state;
	uint64_t offset;
	bool dirty; /* to be told */
	bool here;  /* its blob is in the store */
	bool fresh; /* it was downloaded by this pull */
	struct fetch *fetch;
	struct client_call *unpack;
	size_t layer;	    /* of a layer: its number */
	int64_t started_at; /* its download, Unix ns */
};

/* A document being written on a thread. */
struct pull_put;

struct pull {
	struct content_note note;
	struct pull *prev, *next;
	struct content *c;
	struct call *call;		  /* NULL once it ended */
	const struct image_pull_req *req; /* in the call's arena */
	const char *ns;			  /* the same */
	struct reference ref;
	char name[REFERENCE_TEXT_MAX];
	struct platform platform;
	struct remote *remote;

	struct fetch_doc *doc;
	struct pull_put *put;
	unsigned depth;
	bool have_target;
	struct oci_desc target;
	struct set docs; /* digests of the documents on the way */

	struct oci_doc manifest; /* its descs are the layers */
	struct oci_desc manifest_desc;
	struct pull_part *parts; /* config, then layers, lowest first */
	size_t nparts;
	struct pull_part heads[TREE_DEPTH_MAX + 3]; /* the reference, then index and manifest */
	size_t nheads;
	bool have_config;
	struct oci_config config;
	unsigned downloading;
	uint64_t bytes;

	struct loop_source *timer; /* next progress message */
	uint64_t told_ms;
	struct err failure; /* told to failed once gc is through */
	struct call *failed;
	struct gc_wait *tidying;
	struct loop_source *begin; /* the first step, outside the handler */
	struct loop_source *end;   /* frees it */
};

/* The error ends the pull; p lives at least until the loop's next turn. */
void pull_fail(struct pull *p, const struct err *e);
/* A document that is wrong is the registry's fault, not of what the caller asked for. */
void pull_blame(struct err *e);
/* Everything is here and unpacked. */
void pull_finish(struct pull *p);

/* The blob's row and its event: from here on others may see it. */
int pull_row(struct pull *p, const struct oci_desc *desc, struct err *e);

/* parts from p->manifest. */
void parts_make(struct pull *p);
/* Starts what may be started; calls pull_finish or pull_fail. */
void parts_pump(struct pull *p);
/* Ends all downloads and unpacks. */
void parts_stop(struct pull *p, bool keep);
void part_set(struct pull_part *part, enum item_state state);
/* A progress message is due: at once for a new state, else 100 ms after the last one. */
void pull_tell(struct pull *p, bool now);
/* What was not told yet, before the answer. */
void pull_tell_rest(struct pull *p);
struct pull_part *head_add(struct pull *p, const char *kind, const struct oci_desc *d);

#endif
