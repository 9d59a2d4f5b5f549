/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_config - what an image says about how it wants to be run: its config document, read.
 *
 * The document comes from whoever made the image: every string is bounded, fields of a wrong type are
 * an error that names them, unknown fields are skipped. Volumes and ExposedPorts are not read: nothing
 * is made for them. Everything lives in the arena it was read into.
 */
#ifndef CF_OCI_IMAGE_CONFIG_H
#define CF_OCI_IMAGE_CONFIG_H

#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"

#define OCI_CONFIG_BYTES_MAX (4u << 20)
/* The kernel's own bounds for what a program is started with: MAX_ARG_STRLEN, and a quarter of the
 * usual 8 MiB stack for all of it together. */
#define OCI_ARG_BYTES_MAX 131071u
#define OCI_ARGS_BYTES_MAX (2u << 20)
#define OCI_ARGS_MAX 65536u
#define OCI_USER_BYTES_MAX 255u
#define OCI_PATH_BYTES_MAX 4095u
#define OCI_LABELS_MAX 64u

/* A list of strings; borrowed from whoever made it. */
struct oci_list {
	const char *const *v;
	size_t n;
};

struct oci_label {
	const char *key, *value;
};

struct oci_image_config {
	const char *os, *arch;	 /* "" when the document does not say */
	const char *user;	 /* "" = root */
	const char *workdir;	 /* "" = the root folder */
	const char *stop_signal; /* "" = TERM */
	struct oci_list entrypoint, cmd, env;
	/* Labels of the image, without those that a daemon of the ecosystem would act upon. */
	struct oci_label labels[OCI_LABELS_MAX];
	size_t nlabels;
};

/* invalid_argument names the field: "image config: Env[3]: not a string". */
int oci_image_config_parse(
    const void *data, size_t n, struct arena *a, struct oci_image_config *ret, struct err *e);

#endif
