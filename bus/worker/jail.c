/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - a worker gives up what its role does not need, while it still has one thread.
 *
 * Order: bounding set and groups (they need privilege), gid, uid, capabilities of the role, then
 * no_new_privs. Landlock and seccomp belong behind it, in the same place.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bus/worker/impl.h"

#define CAPBIT(name) (1ULL << CAP_##name)

static const uint64_t caps_of[PROC_COUNT] = {
#define PROC(NAME, name, uid, caps, doc) (caps),
#include "schemas/procs.def"
};

static int
bounding_set(uint64_t keep, struct err *e)
{
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if ((keep >> cap & 1) != 0 || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) <= 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(e, errno, "drop capability %u from the bounding set", cap);
	}
	return 0;
}

static void
cap_done(cap_t *c)
{
	if (*c != NULL)
		(void)cap_free(*c);
}

static int
capabilities(uint64_t keep, struct err *e)
{
	__attribute__((cleanup(cap_done))) cap_t set = cap_init();

	for (int cap = 0; set != NULL && cap <= CAP_LAST_CAP; cap++) {
		cap_value_t value = cap;

		if ((keep >> cap & 1) == 0)
			continue;
		if (cap_set_flag(set, CAP_PERMITTED, 1, &value, CAP_SET) < 0 ||
		    cap_set_flag(set, CAP_EFFECTIVE, 1, &value, CAP_SET) < 0)
			return err_sys(e, errno, "choose capability %d", cap);
	}
	if (set == NULL || cap_set_proc(set) < 0)
		return err_sys(e, errno, "reduce capabilities");
	return 0;
}

int
jail_enter(const struct worker *w, struct err *e)
{
	const struct arguments *a = &w->args;
	uint64_t keep = caps_of[w->spec->proc];
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "set no_new_privs");
	if (a->uid < 0 || geteuid() != 0)
		return 0; /* started by a test that is not root, or told to stay */
	r = bounding_set(keep, e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "keep capabilities over setuid");
	if (setgroups(a->ngroups, a->groups) < 0)
		return err_sys(e, errno, "set groups");
	if (a->gid >= 0 && setresgid((gid_t)a->gid, (gid_t)a->gid, (gid_t)a->gid) < 0)
		return err_sys(e, errno, "become group %ld", a->gid);
	if (setresuid((uid_t)a->uid, (uid_t)a->uid, (uid_t)a->uid) < 0)
		return err_sys(e, errno, "become user %ld", a->uid);
	return capabilities(keep, e);
}
