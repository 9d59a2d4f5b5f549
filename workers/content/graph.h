/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph - who holds whom: what garbage collection walks. Pure memory, no store, no clock.
 *
 * A node is a thing of a namespace, known by type and key; it may be referred to without being there. A
 * root holds its whole closure; a flat root (a flat lease) holds its neighbours and, below those, only
 * what is one by nature: a snapshot's parent, an image's target.
 *
 * Not thread safe, but whole: it may be filled and traced on one thread and asked on another later.
 */
#ifndef CF_CONTENT_GRAPH_H
#define CF_CONTENT_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/schema.h"

enum node_type {
	NODE_IMAGE = 'i',     /* name */
	NODE_BLOB = 'b',      /* digest */
	NODE_DRAFT = 'd',     /* reference of an ingest */
	NODE_SNAPSHOT = 's',  /* snapshotter/key */
	NODE_CONTAINER = 'c', /* id */
	NODE_LEASE = 'l'      /* id */
};

struct graph;

struct graph *graph_new(void);
void graph_free(struct graph **g);

/* The node, made when it is new. Numbers count from 0 and stay. */
uint32_t graph_node(struct graph *g, enum node_type type, const char *ns, const char *key);
size_t graph_count(const struct graph *g);

/* It is there and may be collected. */
void graph_exists(struct graph *g, uint32_t node);
/* from holds to. nature: a flat lease holds it too. */
void graph_edge(struct graph *g, uint32_t from, uint32_t to, bool nature);
/* Edges for the garbage collector's labels of a node of ns, back references too. */
void graph_labels(struct graph *g, uint32_t node, const char *ns, const struct kvs *labels);

/* Nothing of this namespace is a root. */
void graph_condemn(struct graph *g, const char *ns);
void graph_root(struct graph *g, uint32_t node, bool flat);
/* Marks what the roots hold. */
void graph_trace(struct graph *g);
/* Marks a node and what it holds, when it is known. */
void graph_touch(struct graph *g, enum node_type type, const char *ns, const char *key);

/* What nobody holds: exists and is not marked. key and ns are the graph's; ns has its own room. */
struct graph_item {
	enum node_type type;
	const char *key;
	char ns[80];
};
bool graph_garbage(const struct graph *g, uint32_t node, struct graph_item *ret);

/* References in labels (containerd's core/metadata/gc.go): containerd.io/gc.ref.content[.x|/x]=digest,
 * .ref.image[.x|/x]=name, .ref.snapshot.SNAPSHOTTER[/x]=key; gc.bref.* the other way round, .container
 * too. key is valid during the callback. */
typedef void graph_ref_fn(void *arg, enum node_type type, const char *key, bool back);
void graph_refs(const struct kvs *labels, graph_ref_fn *fn, void *arg);

#endif
