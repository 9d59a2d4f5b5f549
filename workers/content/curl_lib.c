/* SPDX-License-Identifier: Apache-2.0 */
/* curl_lib - see curl_lib.h */
#include "workers/content/curl_lib.h"

#include <dlfcn.h>
#include <string.h>

#define SONAME "libcurl.so.4"

static int
find(void *lib, const char *name, void *ret_call, struct err *e)
{
	void *call = dlsym(lib, name);

	if (call == NULL)
		return err_set(e, ERR_INTERNAL, "%s: %s", SONAME, dlerror());
	memcpy(ret_call, &call, sizeof(call)); /* as POSIX has it for functions */
	return 0;
}

int
curl_lib_load(struct curl_lib *ret, struct err *e)
{
	void *lib = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (lib == NULL)
		return err_set(e, ERR_INTERNAL, "cannot load libcurl: %s", dlerror());
#define CURL_CALL(name)                                  \
	if (find(lib, "curl_" #name, &ret->name, e) < 0) \
		return -(int)e->code;
	CURL_CALLS(CURL_CALL)
#undef CURL_CALL
	if (ret->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_INTERNAL, "libcurl does not start");
	return 0;
}
