/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack - image_unpack calls: the layers of images that came by other ways than a pull.
 *
 *	documents read -> layer_unpack for every layer at once, at the snapshot worker -> all done: the reply
 *
 * It is asked for by target, so that it can be done before the image has a name: then a name means that
 * all of it is there. While it runs it holds the layers; then the config does, by its labels. Killed at any
 * point, the request is sent again and finds the layers that are done.
 */
#ifndef CF_CONTENT_UNPACK_H
#define CF_CONTENT_UNPACK_H

#include "workers/content/content.h"

/* Is this a layer of a running image_unpack of ns? */
bool unpack_holds_chain(const struct content *c, const char *ns, const char *chain_id);

#endif
