/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry - how to reach a registry and log in there, from options, docker's config.json and
 * --hosts-dir: what goes with a pull or a push.
 *
 * Secrets are read here, by the user's own rights, and sent with the request; helpers are run here,
 * never by the daemon. They are in no option's text that ps shows unless the user put them there.
 */
#ifndef CF_CTR_REGISTRY_H
#define CF_CTR_REGISTRY_H

#include "ctr/ctr.h"

extern const struct opt registry_opts[];

struct registry {
	bool plain_http, skip_verify;
	const char *username, *password; /* of --user */
	struct registry_auth_list auths;
	struct registry_host_list hosts;
};

/* For the image ref. o may be NULL: no options. Memory is in a. */
int registry_find(
    const struct opts *o, const char *ref, struct arena *a, struct registry *ret, struct err *e);

#endif
