/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content - the state of the content worker: images, blobs, namespaces, downloads.
 *
 * One struct content is passed to everything; there are no globals. See README.md for who calls whom.
 */
#ifndef CF_CONTENT_H
#define CF_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/board/board.h"
#include "bus/peer/client.h"
#include "lib/base/loop.h"
#include "lib/base/work.h"
#include "lib/store/store.h"
#include "schemas/schema.h"
#include "workers/content/blobs.h"

struct call;
struct draft;
struct gc;
struct http;
struct pull;
struct transfer;
struct unpack;
struct worker;

/* Tables of the store. images: ns\0name -> image; blobs: ns\0digest -> blob; namespaces: name; leases,
 * held: see leases.h; drafts: ns\0ref -> ingest, drafts.h; state: one content_state. */
enum {
	TABLE_IMAGES,
	TABLE_BLOBS,
	TABLE_NAMESPACES,
	TABLE_LEASES,
	TABLE_HELD,
	TABLE_DRAFTS,
	TABLE_STATE,
	TABLE_COUNT
};
extern const char *const content_tables[TABLE_COUNT];

struct content_options {
	unsigned max_downloads; /* blobs at once per pull */
	unsigned streams;	/* connections at once for one large blob */
	unsigned retries;	/* attempts without progress before a download is given up */
	unsigned stall_s;	/* no byte for so long ends an attempt */
	unsigned connect_s;	/* to be connected in so long */
	bool isolated;		/* a namespace has to present bytes that another one has */
	const char *hosts_dir;	/* where hosts.toml files are; see lib/oci/hosts.h */
};

#define CONTENT_OPTIONS_DEFAULT                        \
	((struct content_options){ .max_downloads = 4, \
	    .streams = 4,                              \
	    .retries = 5,                              \
	    .stall_s = 30,                             \
	    .connect_s = 15,                           \
	    .hosts_dir = "/etc/coffer/certs.d" })

struct content {
	struct worker *worker; /* NULL in unit tests of the parts below the handlers */
	struct loop *loop;
	struct client *client;
	struct store *store;
	struct work *work;
	struct http *http;
	struct blobs blobs;
	struct content_options options;
	struct transfer *transfers; /* blobs being downloaded, see fetch.c */
	struct pull *pulls;	    /* running image_pull calls */
	struct unpack *unpacks;	    /* running image_unpack calls */
	struct draft *drafts;	    /* open ingests of clients, see drafts.c */
	int drafts_fd;		    /* ROOT/content/drafts */
	struct gc *gc;
	int dirfd; /* ROOT/content */
	uint64_t ticks;
	unsigned quiet; /* seconds without a pull */
};

/* First member of what a handler that answers later notes on its call: how to drop it. */
struct content_note {
	void (*cancelled)(struct content_note *note);
};

/* Opens folders and store below dirfd (ROOT/content as path), makes pool and HTTP client, recovers.
 * loop, client and options are set by the caller before. Undone by content_down. */
int content_up(struct content *c, const char *path, struct board *board, struct err *e);
void content_down(struct content *c);

#endif
