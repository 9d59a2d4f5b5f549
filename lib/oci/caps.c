/* SPDX-License-Identifier: Apache-2.0 */
/* caps - see caps.h */
#include "lib/oci/caps.h"

#include <string.h>
#include <strings.h>

#include "lib/base/ident.h"

/* By number, as in linux/capability.h. */
static const char *const names[OCI_CAPS_COUNT] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

static const char *const defaults[] = { "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD",
	"NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT",
	"KILL", "AUDIT_WRITE" };

const char *
oci_cap_name(unsigned i)
{
	MUST(i < OCI_CAPS_COUNT);
	return names[i];
}

int
oci_cap_parse(const char *text, uint64_t *ret, struct err *e)
{
	const char *bare = strncasecmp(text, "CAP_", 4) == 0 ? text + 4 : text;
	char shown[64];

	if (strcasecmp(text, "ALL") == 0) {
		*ret = OCI_CAPS_ALL;
		return 0;
	}
	for (unsigned i = 0; i < OCI_CAPS_COUNT; i++)
		if (strcasecmp(bare, names[i] + 4) == 0) {
			*ret = UINT64_C(1) << i;
			return 0;
		}
	return err_set(e, ERR_INVALID_ARGUMENT, "capability \"%s\": not known",
	    ident_show(text, shown, sizeof(shown)));
}

uint64_t
oci_caps_default(void)
{
	uint64_t mask = 0, one;

	for (size_t i = 0; i < COUNT(defaults); i++) {
		struct err e = ERR_ZERO;

		MUST(oci_cap_parse(defaults[i], &one, &e) == 0);
		mask |= one;
	}
	return mask;
}

int
oci_caps_change(
    uint64_t base, struct oci_list add, struct oci_list drop, uint64_t *ret, struct err *e)
{
	uint64_t one;
	int r;

	for (size_t i = 0; i < drop.n; i++) {
		if ((r = oci_cap_parse(drop.v[i], &one, e)) < 0)
			return r;
		base &= ~one;
	}
	for (size_t i = 0; i < add.n; i++) {
		if ((r = oci_cap_parse(add.v[i], &one, e)) < 0)
			return r;
		/* ALL with something dropped: all but that. */
		if (one == OCI_CAPS_ALL)
			for (size_t d = 0; d < drop.n; d++) {
				uint64_t not = 0;

				if (oci_cap_parse(drop.v[d], &not, e) == 0 && not != OCI_CAPS_ALL)
					one &= ~not ;
			}
		base |= one;
	}
	*ret = base;
	return 0;
}
