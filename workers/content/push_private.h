/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push_private - an image_push call: push.c (the call: what is sent, in which order, how it is told) and
 * push_items.c (how one blob or document gets there).
 *
 *	documents read from disk, target first -> list of all that is below it
 *	BLOBS      configs and layers, some at once
 *	DOCUMENTS  manifests, then what names them, the target last: by its tag
 *	labels     where the blobs are now, for pushes to come; then the reply
 *
 * One part:
 *
 *	CHECK  HEAD: there already? -> done
 *	OPEN   POST, asking to take the blob over from a repository that is known to have it -> done
 *	SEND   PATCH, in chunks when it was told or the registry takes no more, each from where the registry
 *	       says it is (small ones go with COMMIT)
 *	STATUS a broken upload: GET says how far it came; goes on there, or is opened anew
 *	COMMIT PUT with the digest -> done
 *
 * Broken connections and 429, 5xx are tried again as downloads are (download-retries without a new byte).
 * A killed worker's push is sent again and starts over: what is there is found by CHECK.
 */
#ifndef CF_CONTENT_PUSH_PRIVATE_H
#define CF_CONTENT_PUSH_PRIVATE_H

#include "lib/oci/reference.h"
#include "workers/content/content.h"
#include "workers/content/remote.h"
#include "workers/content/tree.h"
#include "workers/content/teller.h"

struct push;

enum push_state { PUSH_WAITING, PUSH_UPLOADING, PUSH_EXISTS, PUSH_MOUNTED, PUSH_DONE };
enum push_step { STEP_CHECK, STEP_OPEN, STEP_SEND, STEP_STATUS, STEP_COMMIT };

struct push_part {
	struct push *push;
	const char *kind; /* as pull_item */
	struct oci_desc desc;
	bool document;
	bool target;	  /* goes by the tag */
	const char *from; /* a repository there that has it; in the call's arena */
	enum push_state state;
	bool dirty;
	/* how far it is */
	enum push_step step;
	struct remote_req *req;
	struct loop_source *timer; /* until the next attempt */
	char *location;		   /* of the upload */
	int fd;
	uint64_t start, at, end; /* of the request: bytes [start, end) of the blob, at: sent */
	uint64_t best;		 /* what the registry had at most */
	uint64_t chunk_min;
	unsigned attempts;
};

struct push {
	struct content_note note;
	struct content *c;
	struct call *call; /* NULL once it ended */
	const struct image_push_req *req;
	const char *ns;
	struct reference ref;
	char name[REFERENCE_TEXT_MAX];
	struct remote *remote;
	struct oci_desc target;
	struct push_part **parts; /* blobs and documents; what names another one comes behind it */
	size_t nparts;
	uint64_t chunk; /* most bytes of a request */
	uint64_t bytes;
	struct loop_source *begin, *end;
	struct teller teller;
};

/* The next thing to be done for part; push_pump or push_fail when it is through. */
void part_start(struct push_part *part);
void part_stop(struct push_part *part);

void push_part_set(struct push_part *part, enum push_state state);
void push_tell(struct push *p, bool now);
void push_pump(struct push *p);
void push_fail(struct push *p, const struct err *e);

#endif
