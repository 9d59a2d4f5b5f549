/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_names - texts that name things: references, digests, platforms, users, signals, capabilities,
 * mounts. The first byte says which. What is taken must be stable: its full form parses to itself.
 */
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/oci/caps.h"
#include "lib/oci/digest.h"
#include "lib/oci/mount_arg.h"
#include "lib/oci/passwd.h"
#include "lib/oci/platform.h"
#include "lib/oci/reference.h"
#include "lib/oci/signo.h"
#include "tests/fuzz/fuzz.h"

static void
reference(const char *text, struct err *e)
{
	char full[REFERENCE_TEXT_MAX], again[REFERENCE_TEXT_MAX];
	struct reference r;

	if (reference_parse(text, &r, e) < 0)
		return;
	MUST(strlen(reference_text(&r, full)) < REFERENCE_TEXT_MAX);
	MUST(strstr(full, "..") == NULL || strstr(r.path, "..") == NULL);
	MUST(reference_parse(full, &r, e) == 0);
	MUST(strcmp(reference_text(&r, again), full) == 0);
	MUST(reference_registry(&r)[0] != '\0');
	(void)reference_host_is_loopback(r.host);
}

static void
digest(const char *text, struct err *e)
{
	struct digest d;

	if (digest_parse(text, &d, e) < 0)
		return;
	MUST(strcmp(d.text, text) == 0 && strchr(digest_hex(&d), '/') == NULL);
}

static void
platform(const char *text, struct err *e)
{
	char full[PLATFORM_TEXT_MAX], again[PLATFORM_TEXT_MAX];
	struct platform p;

	if (platform_parse(text, &p, e) < 0)
		return;
	MUST(platform_parse(platform_text(&p, full), &p, e) == 0);
	MUST(strcmp(platform_text(&p, again), full) == 0);
	MUST(platform_rank(&p, &p) > 0);
}

static void
words(const char *text, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct oci_user_ref ref;
	struct oci_mount m;
	uint64_t mask;
	char show[40];
	int signo;

	if (oci_user_parse(text, &ref, e) == 0)
		MUST(strlen(ref.user) < sizeof(ref.user) && strlen(ref.group) < sizeof(ref.group));
	if (oci_signal_parse(text, &signo, e) == 0)
		MUST(signo >= 1 && signo <= 64);
	if (oci_cap_parse(text, &mask, e) == 0)
		MUST(mask != 0 && (mask & ~OCI_CAPS_ALL) == 0);
	if (oci_mount_parse(text, &a, &m, e) == 0)
		MUST(m.target != NULL && m.target[0] == '/');
	if (ident_check("container", text, e) == 0)
		MUST(strlen(text) <= IDENT_MAX && strchr(text, '/') == NULL);
	MUST(strlen(ident_show(text, show, sizeof(show))) < sizeof(show));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct err e = ERR_ZERO;
	const char *text;

	if (n == 0 || memchr(data + 1, '\0', n - 1) != NULL)
		return 0;
	text = arena_memdup(&a, data + 1, n - 1);
	switch (data[0] % 4) {
	case 0:
		reference(text, &e);
		break;
	case 1:
		digest(text, &e);
		break;
	case 2:
		platform(text, &e);
		break;
	default:
		words(text, &e);
	}
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const char *const texts[] = { "\4nginx", "\4docker.io/library/nginx:latest",
		"\4"
		"127.0.0.1:5000/x/y_z:1.0-a",
		"\4[::1]:5000/a/b",
		"\4localhost/x@sha256:"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"\1sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"\1sha512:"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
		"abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"\2linux/arm/v7", "\2amd64", "\2linux/x86_64", "\3SIGRTMIN+3", "\3term",
		"\3CAP_NET_ADMIN", "\3all", "\3www-data:adm",
		"\3"
		"1000:1000",
		"\3type=bind,src=/a/../b,dst=/c,options=rbind:ro", "\3/src:/dst:ro",
		"\3my-container.1" };

	for (size_t i = 0; i < COUNT(texts); i++)
		seed(arg, texts[i], strlen(texts[i]));
}
