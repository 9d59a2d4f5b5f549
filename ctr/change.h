/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change - lines of a Dockerfile that change an image's config: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL,
 * STOPSIGNAL, USER, VOLUME, WORKDIR, as `docker commit --change` takes them.
 */
#ifndef CF_CTR_CHANGE_H
#define CF_CTR_CHANGE_H

#include <jansson.h>

#include "lib/base/err.h"
#include "schemas/schema.h"

/* Applies the lines in their order to the "config" of an image config. An entrypoint takes the command of
 * the image away, unless a line gives one. invalid_argument names the line. */
int change_apply(json_t *image_config, struct strs lines, struct err *e);

#endif
