/* SPDX-License-Identifier: Apache-2.0 */
/* images - what `run` needs of the image verbs. */
#ifndef CF_CTR_IMAGES_H
#define CF_CTR_IMAGES_H

#include <stdio.h>

#include "ctr/ctr.h"

/* Pulls, with its progress on `to` (NULL: silently). A signal that ctr_catch watches cancels it. */
int images_pull_one(struct ctr *c, const struct image_pull_req *req, FILE *to, struct arena *a,
    struct image_pull_rep *rep, struct err *e);

#endif
