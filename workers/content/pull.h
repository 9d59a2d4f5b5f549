/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull - an image_pull call: from a reference to an image record, its blobs here and its layers unpacked.
 *
 *	DOCUMENTS  manifest or index by tag or digest, written on a thread while what it names is asked for;
 *	           of an index the manifests for the platforms that are asked for, or all of them
 *	           (indexes in indexes at most TREE_DEPTH_MAX deep)
 *	DOWNLOAD   configs and layers, some at once; those here already are taken as they are
 *	  config -> diff ids and chain ids known
 *	  layer here and ids known -> layer_unpack at the snapshot worker, as many at once as there are
 *	FINISH     all done and written: image record, rows and event in one transaction with the reply
 *
 * With all platforms what is for the host is unpacked. With verify_only nothing is downloaded, stored or
 * unpacked: the answer says whether all that the registry names is here and whole.
 *
 * A failure or cancel at any point leaves no record; what was downloaded is kept for another try when the
 * network was to blame or the caller gave up (rows and files of it go after a day), else removed.
 * The request is sent again after the worker's death and starts over: what is on disk is not fetched again.
 */
#ifndef CF_CONTENT_PULL_H
#define CF_CONTENT_PULL_H

#include "workers/content/content.h"
#include "workers/content/remote.h"

/* The repository at its registry: places as the request says, else as the daemon's hosts-dir does. */
int content_remote(struct content *c, const struct reference *ref, const struct remote_opts *opts,
    struct arena *a, struct remote **ret, struct err *e);

/* Does a running pull of ns (NULL: any) need this blob? */
bool pull_holds_blob(const struct content *c, const char *ns, const char *digest);
bool pull_holds_chain(const struct content *c, const char *ns, const char *chain_id);

/* Adds what pulls of ns download at the moment to list, which has room for max. */
void pull_ingests(const struct content *c, const char *ns, struct arena *a, uint32_t max,
    struct ingest_info_list *list);

#endif
