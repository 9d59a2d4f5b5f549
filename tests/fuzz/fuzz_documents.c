/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_documents - what registries serve: index, manifest, image config, and the container's spec made
 * from such a config; and docker's logins. The first byte is the number of layers.
 */
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/oci/dockerconfig.h"
#include "lib/oci/document.h"
#include "lib/oci/image_config.h"
#include "lib/oci/json.h"
#include "lib/oci/spec.h"
#include "tests/fuzz/fuzz.h"

static void
document(const void *data, size_t n, const char *type)
{
	AUTO(oci_doc_free) struct oci_doc d = { .ndescs = 0 };
	struct platform host;
	struct err e = ERR_ZERO;
	char text[64];

	platform_host(&host);
	if (oci_doc_parse(data, n, type, &d, &e) < 0) {
		MUST(e.msg[0] != '\0');
		return;
	}
	for (size_t i = 0; i < d.ndescs; i++) {
		struct digest again;

		MUST(digest_parse(d.descs[i].digest.text, &again, &e) == 0);
		MUST(d.descs[i].size <= OCI_BLOB_MAX);
	}
	if (d.kind == OCI_KIND_INDEX) {
		(void)oci_doc_choose(&d, &host);
		MUST(strlen(oci_doc_platforms(&d, text, sizeof(text))) < sizeof(text));
	}
}

/* docker's config.json and a helper's answer: a login is whole or there is none. */
static void
login(const void *data, size_t n)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct registry_auth auth = { .host = NULL };
	const char *helper = NULL;
	struct err e = ERR_ZERO;
	int r = dockerconfig_find(data, n, "fuzz", "docker.io", &a, &auth, &helper, &e);

	MUST(r >= 0 || e.msg[0] != '\0');
	MUST(r != 1 || helper != NULL || auth.identity_token != NULL ||
	     (auth.username != NULL && auth.password != NULL));
	auth = (struct registry_auth){ .host = NULL };
	r = dockerconfig_answer(data, n, "fuzz", &a, &auth, &e);
	MUST(r < 0 || auth.identity_token != NULL || auth.password != NULL);
}

/* A spec is made of whatever image config was taken, and is JSON. */
static void
container(const void *data, size_t n)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(buf_free) struct buf spec = BUF_LIMIT(OCI_SPEC_BYTES_MAX);
	AUTO(buf_free) struct buf process = BUF_LIMIT(OCI_SPEC_BYTES_MAX);
	AUTO(json_free_ptr) json_t *j = NULL;
	struct oci_image_config image = { .os = NULL };
	struct oci_spec_opts opts = { .ns = "default", .id = "fuzz", .net_host = true };
	struct oci_exec_opts exec = { .args = { (const char *const[]){ "sh" }, 1 } };
	struct err e = ERR_ZERO;

	if (oci_image_config_parse(data, n, &a, &image, &e) < 0 ||
	    oci_spec_make(&image, &opts, &spec, &e) < 0) {
		MUST(e.msg[0] != '\0');
		return;
	}
	MUST(oci_json_parse(spec.data, spec.len, &j, &e) == 0);
	MUST(oci_exec_make(spec.data, spec.len, &exec, &process, &e) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const types[] = { NULL, OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX,
		DOCKER_MANIFEST, "application/json; charset=utf-8" };
	AUTO(oci_config_free) struct oci_config c = { .nlayers = 0 };
	struct err e = ERR_ZERO;

	if (n == 0)
		return 0;
	document(data + 1, n - 1, types[data[0] % COUNT(types)]);
	if (oci_config_parse(data + 1, n - 1, data[0] % 4, &c, &e) == 0)
		MUST(c.nlayers == data[0] % 4U);
	container(data + 1, n - 1);
	login(data + 1, n - 1);
	return 0;
}

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const char *const texts[] = {
		"\6{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
		"\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" D
		"\",\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
		"{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" D
		"\",\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":"
		"\"v7\"}}]}",
		"\6{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST
		"\",\"config\":{\"mediaType\":\"" OCI_CONFIG "\",\"digest\":\"" D
		"\",\"size\":7},\"layers\":[{\"mediaType\":\"application/"
		"vnd.oci.image.layer.v1.tar+gzip\","
		"\"digest\":\"" D "\",\"size\":9,\"annotations\":{\"a\":\"b\"}}]}",
		"\2{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"" D "\",\"" D "\"]},\"config\":{\"Env\":[\"PATH=/"
		"bin\",\"A=\\u00e4\"],\"Cmd\":[\"sh\",\"-c\",\"x\"],"
		"\"Entrypoint\":[\"/e\"],\"User\":\"www:adm\",\"WorkingDir\":\"/"
		"w\",\"StopSignal\":\"SIGQUIT\","
		"\"Labels\":{\"k\":\"v\"},\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"80/"
		"tcp\":{}}}}",
		"\1{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"" D "\"]},\"config\":{}}",
		"\6{\"schemaVersion\":1,\"name\":\"x\",\"fsLayers\":[]}",
		"\1{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"bWU6c2VjcmV0\","
		"\"identitytoken\":\"\",\"username\":\"u\",\"password\":\"p\"}},"
		"\"credHelpers\":{\"gcr.io\":\"gcloud\"}}",
		"\1{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"s\"}",
		"\6[[[[[[[[[[[[]]]]]]]]]]]]",
		"\6{\"a\":1e400,\"b\":-0,\"c\":null,\"d\":true,\"e\":\"\\ud83d\\ude00\"}",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		seed(arg, texts[i], strlen(texts[i]));
}
