/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create - the options that describe a container, shared by `containers create` and `run`.
 */
#ifndef CF_CTR_CREATE_H
#define CF_CTR_CREATE_H

#include "ctr/ctr.h"

extern const struct opt create_opts[];

/* Fills req from options and arguments (IMAGE NAME [COMMAND...]); what it points at lives in a or in
 * the command line. Reads --env-file files. */
int create_request(
    const struct opts *o, struct arena *a, struct container_create_req *req, struct err *e);

/* KEY=VALUE words of --env and --env-file, in that order of precedence; KEY alone takes the value from
 * our environment and is left out when there is none. */
int create_env(const struct opts *o, struct arena *a, struct strs *ret, struct err *e);

#endif
