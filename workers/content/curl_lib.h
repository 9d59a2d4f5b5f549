/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl_lib - libcurl, loaded with the first download and not before.
 *
 * It brings thirty libraries, OpenSSL, GnuTLS and Kerberos among them: linked in, they made half of the
 * memory of a daemon that had nothing to do. A host without libcurl says so at the first pull.
 */
#ifndef CF_CONTENT_CURL_LIB_H
#define CF_CONTENT_CURL_LIB_H

#include <curl/curl.h>

#include "lib/base/err.h"

#define CURL_CALLS(F)          \
	F(global_init)         \
	F(easy_init)           \
	F(easy_cleanup)        \
	F(easy_setopt)         \
	F(easy_getinfo)        \
	F(easy_header)         \
	F(easy_pause)          \
	F(easy_strerror)       \
	F(multi_init)          \
	F(multi_cleanup)       \
	F(multi_setopt)        \
	F(multi_assign)        \
	F(multi_add_handle)    \
	F(multi_remove_handle) \
	F(multi_info_read)     \
	F(multi_socket_action) \
	F(slist_append)        \
	F(slist_free_all)

/* curl_easy_init is lib->easy_init, and so on. */
struct curl_lib {
#define CURL_CALL(name) __typeof__(curl_##name) *name;
	CURL_CALLS(CURL_CALL)
#undef CURL_CALL
};

/* Loads and starts it. It stays loaded for the life of the process: its libraries do not unload. */
int curl_lib_load(struct curl_lib *ret, struct err *e);

#endif
