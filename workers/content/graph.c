/* SPDX-License-Identifier: Apache-2.0 */
/* graph - see graph.h */
#include "workers/content/graph.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/auto.h"

#define NONE UINT32_MAX
#define KEY_MAX 1400 /* type, namespace and the longest name */

enum mark { MARK_NONE, MARK_FLAT, MARK_FULL };

struct node {
	const char *text; /* type, namespace, '/', key */
	uint32_t hash;
	uint32_t edges; /* first, NONE = no edge */
	uint8_t root;	/* enum mark */
	uint8_t mark;	/* enum mark */
	bool exists;
};

struct edge {
	uint32_t to, next;
	bool nature;
};

struct graph {
	struct arena texts;
	struct node *nodes;
	struct edge *edges;
	uint32_t nnodes, room, nedges, edge_room;
	uint32_t *slots, nslots; /* hash table: node number or NONE; a power of two */
	uint32_t *stack, depth, stack_room;
	const char *condemned; /* NULL: none */
};

struct graph *
graph_new(void)
{
	return xcalloc(1, sizeof(struct graph));
}

void
graph_free(struct graph **gp)
{
	struct graph *g = *gp;

	if (g == NULL)
		return;
	arena_free(&g->texts);
	free_ptr(&g->nodes);
	free_ptr(&g->edges);
	free_ptr(&g->slots);
	free_ptr(&g->stack);
	free_ptr(gp);
}

static uint32_t
hash_of(const char *text)
{
	uint32_t h = 2166136261U; /* FNV-1a */

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 16777619U;
	return h;
}

/* The slot of text, or the free one where it belongs. */
static uint32_t *
slot_of(const struct graph *g, const char *text, uint32_t hash)
{
	uint32_t at = hash & (g->nslots - 1);

	while (g->slots[at] != NONE && (g->nodes[g->slots[at]].hash != hash ||
					   strcmp(g->nodes[g->slots[at]].text, text) != 0))
		at = (at + 1) & (g->nslots - 1);
	return &g->slots[at];
}

static void
slots_grow(struct graph *g)
{
	if (2 * (g->nnodes + 1) <= g->nslots)
		return;
	g->nslots = g->nslots == 0 ? 1024 : 2 * g->nslots;
	g->slots = xrealloc(g->slots, g->nslots * sizeof(*g->slots));
	memset(g->slots, 0xff, g->nslots * sizeof(*g->slots)); /* NONE */
	for (uint32_t i = 0; i < g->nnodes; i++)
		*slot_of(g, g->nodes[i].text, g->nodes[i].hash) = i;
}

static const char *
node_text(char text[KEY_MAX], enum node_type type, const char *ns, const char *key)
{
	(void)snprintf(text, KEY_MAX, "%c%s/%s", (char)type, ns, key);
	return text;
}

uint32_t
graph_node(struct graph *g, enum node_type type, const char *ns, const char *key)
{
	char text[KEY_MAX];
	uint32_t hash = hash_of(node_text(text, type, ns, key)), *slot;

	slots_grow(g);
	slot = slot_of(g, text, hash);
	if (*slot != NONE)
		return *slot;
	if (g->nnodes == g->room) {
		g->room = g->room == 0 ? 1024 : 2 * g->room;
		g->nodes = xrealloc(g->nodes, g->room * sizeof(*g->nodes));
	}
	g->nodes[g->nnodes] = (struct node){
		.text = arena_strdup(&g->texts, text),
		.hash = hash,
		.edges = NONE,
	};
	*slot = g->nnodes;
	return g->nnodes++;
}

size_t
graph_count(const struct graph *g)
{
	return g->nnodes;
}

void
graph_exists(struct graph *g, uint32_t node)
{
	g->nodes[node].exists = true;
}

void
graph_edge(struct graph *g, uint32_t from, uint32_t to, bool nature)
{
	if (g->nedges == g->edge_room) {
		g->edge_room = g->edge_room == 0 ? 1024 : 2 * g->edge_room;
		g->edges = xrealloc(g->edges, g->edge_room * sizeof(*g->edges));
	}
	g->edges[g->nedges] =
	    (struct edge){ .to = to, .next = g->nodes[from].edges, .nature = nature };
	g->nodes[from].edges = g->nedges++;
}

void
graph_condemn(struct graph *g, const char *ns)
{
	g->condemned = ns == NULL ? NULL : arena_strdup(&g->texts, ns);
}

static bool
is_condemned(const struct graph *g, uint32_t node)
{
	size_t n = g->condemned == NULL ? 0 : strlen(g->condemned);
	const char *ns = g->nodes[node].text + 1;

	return n > 0 && strncmp(ns, g->condemned, n) == 0 && ns[n] == '/';
}

void
graph_root(struct graph *g, uint32_t node, bool flat)
{
	uint8_t mark = flat ? MARK_FLAT : MARK_FULL;

	if (is_condemned(g, node))
		return;

	if (g->nodes[node].root < mark)
		g->nodes[node].root = mark;
}

static void
push(struct graph *g, uint32_t node, uint8_t mark)
{
	if (g->nodes[node].mark >= mark)
		return;
	g->nodes[node].mark = mark;
	if (g->depth == g->stack_room) {
		g->stack_room = g->stack_room == 0 ? 256 : 2 * g->stack_room;
		g->stack = xrealloc(g->stack, g->stack_room * sizeof(*g->stack));
	}
	g->stack[g->depth++] = node;
}

static void
drain(struct graph *g)
{
	while (g->depth > 0) {
		const struct node *n = &g->nodes[g->stack[--g->depth]];

		for (uint32_t i = n->edges; i != NONE; i = g->edges[i].next)
			if (n->mark == MARK_FULL || g->edges[i].nature)
				push(g, g->edges[i].to, n->mark);
	}
}

void
graph_trace(struct graph *g)
{
	for (uint32_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].root != MARK_NONE)
			push(g, i, g->nodes[i].root);
	drain(g);
}

void
graph_touch(struct graph *g, enum node_type type, const char *ns, const char *key)
{
	char text[KEY_MAX];
	uint32_t hash = hash_of(node_text(text, type, ns, key)), *slot;

	if (g->nslots == 0)
		return;
	slot = slot_of(g, text, hash);
	if (*slot == NONE)
		return;
	push(g, *slot, MARK_FULL);
	drain(g);
}

bool
graph_garbage(const struct graph *g, uint32_t node, struct graph_item *ret)
{
	const struct node *n = &g->nodes[node];
	const char *slash;

	if (!n->exists || n->mark != MARK_NONE)
		return false;
	slash = strchr(n->text, '/');
	ret->type = (enum node_type)n->text[0];
	ret->key = slash + 1;
	(void)snprintf(ret->ns, sizeof(ret->ns), "%.*s", (int)(slash - n->text - 1), n->text + 1);
	return true;
}

/* --- labels ---------------------------------------------------------------------------------------- */

/* "content", "content.x", "content/x" for what = "content". */
static bool
is_kind(const char *rest, const char *what)
{
	size_t n = strlen(what);

	return strncmp(rest, what, n) == 0 && (rest[n] == '\0' || rest[n] == '.' || rest[n] == '/');
}

/* rest: "snapshot.SNAPSHOTTER[/x]"; the key of its node. */
static bool
snapshot_key(const char *rest, const char *value, char key[KEY_MAX])
{
	size_t n;

	if (strncmp(rest, "snapshot.", 9) != 0)
		return false;
	n = strcspn(rest + 9, "/");
	(void)snprintf(key, KEY_MAX, "%.*s/%s", (int)n, rest + 9, value);
	return n > 0 && n < 64;
}

void
graph_refs(const struct kvs *labels, graph_ref_fn *fn, void *arg)
{
	char key[KEY_MAX];

	for (uint32_t i = 0; i < labels->n; i++) {
		const char *name = labels->v[i].k, *value = labels->v[i].v, *rest;
		bool back = strncmp(name, "containerd.io/gc.bref.", 22) == 0;

		if (!back && strncmp(name, "containerd.io/gc.ref.", 21) != 0)
			continue;
		rest = name + (back ? 22 : 21);
		if (is_kind(rest, "content"))
			fn(arg, NODE_BLOB, value, back);
		else if (is_kind(rest, "image"))
			fn(arg, NODE_IMAGE, value, back);
		else if (back && is_kind(rest, "container"))
			fn(arg, NODE_CONTAINER, value, back);
		else if (snapshot_key(rest, value, key))
			fn(arg, NODE_SNAPSHOT, key, back);
	}
}

struct labelled {
	struct graph *g;
	uint32_t node;
	const char *ns;
};

static void
label_edge(void *arg, enum node_type type, const char *key, bool back)
{
	const struct labelled *l = arg;
	uint32_t other = graph_node(l->g, type, l->ns, key);

	graph_edge(l->g, back ? other : l->node, back ? l->node : other, false);
}

void
graph_labels(struct graph *g, uint32_t node, const char *ns, const struct kvs *labels)
{
	struct labelled l = { g, node, ns };

	graph_refs(labels, label_edge, &l);
}
