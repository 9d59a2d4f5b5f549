/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_fill - makes a content store of many images, for the bench of lists and garbage collection.
 *
 *	store_fill ROOT/content IMAGES [LOOSE]
 *
 * Ten blobs for each image, with the labels that a pull gives them, their files empty: a manifest, a
 * config and eight layers, of which two are shared with the next image. LOOSE images have no name.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "workers/content/gc.h"
#include "workers/content/images.h"

#define LAYERS 8
#define SHARED 2
#define PER_TXN 500

static void
fine(int r, const struct err *e)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "store_fill: %s\n", e->msg);
	exit(1);
}

/* A blob of its own for this text, with a row. */
static void
blob_make(
    struct content *c, struct txn *t, const char *text, const struct kvs *labels, struct digest *d)
{
	struct blob row = { .created_at = clock_real_ns(), .labels = *labels };
	struct err e = ERR_ZERO;
	int fd;

	digest_of(DIGEST_SHA256, text, strlen(text), d);
	row.digest = d->text;
	fd = openat(c->blobs.algs[d->alg], digest_hex(d), O_CREAT | O_WRONLY | O_CLOEXEC, 0440);
	if (fd >= 0)
		(void)close(fd);
	fine(blob_row_put(c, t, "default", &row, &e), &e);
}

static void
image_make(struct content *c, struct txn *t, unsigned n, bool named)
{
	char text[64], keys[LAYERS + 1][64], name[64];
	struct digest layers[LAYERS], config, manifest;
	struct kv kv[LAYERS + 1], top = { "containerd.io/gc.ref.snapshot.overlay", layers[0].text };
	struct kvs none = { .n = 0 }, on_config = { &top, 1 }, on_manifest = { kv, LAYERS + 1 };
	struct descriptor target = {
		.media_type = OCI_MANIFEST, .digest = manifest.text, .size = 1000
	};
	struct image im = { .name = name, .target = &target, .size = 1 << 20 };
	struct err e = ERR_ZERO;

	for (unsigned i = 0; i < LAYERS; i++) {
		(void)snprintf(text, sizeof(text), "layer %u %u", i,
		    i < SHARED ? n / 2 * 2 : n); /* two images have the first ones together */
		blob_make(c, t, text, &none, &layers[i]);
		(void)snprintf(keys[i], sizeof(keys[i]), "containerd.io/gc.ref.content.l.%u", i);
		kv[i] = (struct kv){ keys[i], layers[i].text };
	}
	(void)snprintf(text, sizeof(text), "config %u", n);
	blob_make(c, t, text, &on_config, &config);
	kv[LAYERS] = (struct kv){ "containerd.io/gc.ref.content.config", config.text };
	(void)snprintf(text, sizeof(text), "manifest %u", n);
	blob_make(c, t, text, &on_manifest, &manifest);
	(void)snprintf(name, sizeof(name), "registry.example.com/team-%u/image-%u:v1", n % 100, n);
	im.platform = "linux/amd64";
	if (named)
		fine(image_put(c, t, "default", &im, &e), &e);
}

int
main(int argc, char **argv)
{
	struct content c = { .loop = loop_new(), .options = CONTENT_OPTIONS_DEFAULT };
	unsigned images, loose;
	struct txn *t = NULL;
	struct err e = ERR_ZERO;

	if (argc < 3)
		return 2;
	images = (unsigned)strtoul(argv[2], NULL, 10);
	loose = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	fine(content_up(&c, argv[1], NULL, &e), &e);
	for (unsigned n = 0; n < images + loose; n++) {
		if (t == NULL)
			fine(store_write(c.store, &t, &e), &e);
		image_make(&c, t, n, n < images);
		if (n % PER_TXN == PER_TXN - 1 || n == images + loose - 1)
			fine(store_commit(&t, &e), &e);
	}
	content_down(&c);
	loop_free(&c.loop);
	return 0;
}
