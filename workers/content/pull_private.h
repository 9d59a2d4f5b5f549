/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull_private - what pull.c (the call and its end), pull_docs.c (documents), pull_items.c (parts, downloads,
 * unpacking, progress) and pull_verify.c (--verify-only) share.
 */
#ifndef CF_CONTENT_PULL_PRIVATE_H
#define CF_CONTENT_PULL_PRIVATE_H

#include "lib/oci/reference.h"
#include "workers/content/fetch.h"
#include "workers/content/pull.h"
#include "workers/content/tree.h"
#include "workers/content/teller.h"

struct pull;
struct pull_check;
struct pull_manifest;

enum item_state {
	ITEM_RESOLVING,
	ITEM_WAITING,
	ITEM_DOWNLOADING,
	ITEM_VERIFYING,
	ITEM_UNPACKING,
	ITEM_MISSING,
	ITEM_EXISTS,
	ITEM_DONE
};

/* A document or blob of the image; each digest once. */
struct pull_part {
	struct pull *pull;
	const char *kind; /* as pull_item */
	struct oci_desc desc;
	enum item_state state;
	uint64_t offset;
	bool dirty;  /* to be told */
	bool here;   /* its blob is in the store */
	bool fresh;  /* it was downloaded by this pull */
	bool no_row; /* its row is to be written */
	struct fetch *fetch;
	struct pull_check *check;
	uint32_t take;	    /* of the download that brought it, see ingest.h; 0: none */
	uint64_t unpacked;  /* bytes of it that were unpacked while it came */
	unsigned unpacks;   /* layers of manifests that wait for it */
	int64_t started_at; /* its download, Unix ns */
};

/* A layer of a manifest, to be unpacked on those below it. */
struct pull_layer {
	struct pull_manifest *manifest;
	size_t n; /* its number, from the lowest */
	struct pull_part *part;
	struct client_call *call, *follow;
	uint32_t followed; /* the take that snapshot was told of; a broken one is not told twice */
	bool started;
};

struct pull_manifest {
	struct pull *pull;
	struct oci_desc desc;
	struct oci_doc doc;
	uint64_t wanted; /* for these of pull->platforms, as bits; 0: as one of all */
	bool unpack;
	bool have_config;
	struct oci_config config;
	struct pull_part *config_part;
	struct pull_layer *layers; /* doc.ndescs */
};

/* A document to be looked at. */
struct pull_want {
	struct oci_desc desc;
	unsigned depth;
	uint64_t wanted; /* as of pull_manifest */
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
	struct platform *platforms; /* what is asked for; the host's with all_platforms */
	unsigned nplatforms;
	struct remote *remote;

	struct pull_want
	    *wants; /* documents, in the order they were found; the first is the reference's */
	size_t nwants, wants_room, at; /* at: the one being looked at */
	struct fetch_doc *doc;
	struct pull_put *puts;
	bool have_target;
	struct oci_desc target;
	struct set docs;	  /* digests of the documents on the way */
	struct pull_part **heads; /* the reference, then the documents */
	size_t nheads;

	struct pull_manifest **manifests;
	size_t nmanifests;
	struct pull_part **parts; /* configs and layers */
	size_t nparts;
	unsigned unpacking;  /* layers left to unpack */
	struct buf problems; /* verify_only: what is wrong, in words */
	unsigned nproblems;
	unsigned downloading;
	uint64_t bytes;

	struct loop_source *rows; /* until rows are written */
	struct teller teller;
	struct err failure; /* told to failed once gc is through */
	struct call *failed;
	struct gc_wait *tidying;
	struct loop_source *begin; /* the first step, outside the handler */
	struct loop_source *end;   /* frees it */
};

/* The error ends the pull; p lives at least until the loop's next turn. */
void pull_fail(struct pull *p, const struct err *e);
/* A document of a pull that ended was written: answers when it was the last one. */
void pull_settle(struct pull *p);
/* A document that is wrong is the registry's fault, not of what the caller asked for. */
void pull_blame(struct err *e);
/* Everything is here and unpacked. */
void pull_finish(struct pull *p);
/* The image as it is to be recorded; its texts are the pull's, target's and platform's. */
void pull_image(const struct pull *p, struct image *im, struct descriptor *target, char *platform);
/* The answer, and the end of p in a later turn. */
void pull_reply(struct pull *p, const struct image_pull_rep *rep);

/* The blob of part came: it gets its row and event, in one transaction with those that come soon behind
 * it; from there on others may see it. */
void pull_came(struct pull_part *part);
/* Is the blob here, and for this namespace to use without downloading it? size 0: any. */
bool pull_may_use(const struct pull *p, const struct digest *d, uint64_t size, uint64_t *ret_size);

/* pull_docs.c: looks at the documents that are left, then at the parts. */
void docs_next(struct pull *p);
void docs_stop(struct pull *p);
/* Documents that are being written are nobody's: they go as soon as they are. */
void docs_leave(struct pull *p);

/* Takes config and layers of m into the parts. */
int parts_add(struct pull *p, struct pull_manifest *m, struct err *e);
/* Starts what may be started; calls pull_finish or pull_fail. */
void parts_pump(struct pull *p);
/* Ends all downloads and unpacks. */
void parts_stop(struct pull *p, bool keep);
void part_set(struct pull_part *part, enum item_state state);
/* A progress message is due: at once for a new state, else 100 ms after the last one. */
void pull_tell(struct pull *p, bool now);
/* The teller's: tells the caller of every part that has changed. */
void pull_told(void *pull);
/* desc NULL: the reference itself. */
struct pull_part *head_add(struct pull *p, const char *kind, const struct oci_desc *d);

/* pull_verify.c, for verify_only: notes what is not as it should be. */
void verify_problem(struct pull *p, const char *kind, const struct oci_desc *d, const char *what);
/* Looks whether a part is here and whole, on a thread; parts_pump when that is known. */
void verify_start(struct pull_part *part);
void verify_stop(struct pull_part *part);
/* Everything was looked at. */
void verify_finish(struct pull *p);

#endif
