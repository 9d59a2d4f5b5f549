#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-bad-registry - registries that are wrong, down or hostile: one clear line, the right exit code,
# nothing changed, nothing left, the same workers; and what is only shaky works in the end.

load ../lib/harness.bash

setup_file()
{
	harness_up
	evil_start
	pulled nginx >/dev/null
	state_now >"$T/state.before"
	workers_now >"$T/workers.before"
}
teardown_file() { harness_down; }

# unharmed: what the daemon holds is as before, and its workers are the same processes
unharmed()
{
	state_now >"$T/state.now"
	diff "$T/state.before" "$T/state.now" >&2 || fail "the state changed" || return 1
	[[ $(workers_now) == "$(<"$T/workers.before")" ]] || fail "workers: $(workers_now)" || return 1
	nothing_left
}
# no_pull REGEX REFERENCE [OPTION...]
no_pull()
{
	local regex=$1 ref=$2
	shift 2

	# What it had already done when it failed may have been told.
	MAY_PRINT=1 refused 1 "$regex" ctr images pull "$@" "$ref" || return 1
	unharmed
}

@test "a tag that does not exist" { no_pull 'not found|unknown' "$REG/coffer/nginx:nosuch"; }
@test "an image that does not exist" { no_pull 'not found|unknown' "$REG/coffer/nosuch:latest"; }
@test "a digest that does not exist" {
	no_pull 'not found|unknown' "$REG/coffer/nginx@sha256:$(printf '0%.0s' {1..64})"
}
@test "a registry that is down" { no_pull "refused|connect" "127.0.0.1:$(free_port)/x/y:latest"; }
@test "a host that has no address" {
	no_pull 'resolve|address|host' "registry.invalid/x/y:latest"
}
@test "a wrong port: another protocol answers" { no_pull 'HTTP|answer|response' "$EVIL/garbage/busybox"; }
@test "a connection closed without an answer" { no_pull "clos|empty|reset|nothing" "$EVIL/reset/busybox"; }

@test "TLS where plain HTTP is spoken" {
	echo "127.0.0.1 localhost registry.test" >"$T/hosts"
	mount --bind "$T/hosts" /etc/hosts
	no_pull 'TLS|SSL' "registry.test:$REGISTRY_MAIN_PORT/coffer/nginx:latest"
	ok ctr images pull --plain-http "registry.test:$REGISTRY_MAIN_PORT/coffer/nginx:latest"
	ok ctr images remove "registry.test:$REGISTRY_MAIN_PORT/coffer/nginx:latest"
	umount /etc/hosts
}

@test "plain HTTP where TLS is spoken, and a certificate that nobody knows" {
	registry_start tls "$T/tls" tls
	no_pull 'TLS|HTTPS|400|certificate' "127.0.0.1:$REGISTRY_TLS_PORT/coffer/nginx:latest" --plain-http
	echo "127.0.0.1 localhost registry.test" >"$T/hosts"
	mount --bind "$T/hosts" /etc/hosts
	no_pull 'certificate' "registry.test:$REGISTRY_TLS_PORT/coffer/nginx:latest"
	images_copy "oci:$COFFER_FIXTURES/images:nginx" \
	    "docker://127.0.0.1:$REGISTRY_TLS_PORT/coffer/nginx:latest"
	ok ctr images pull --skip-verify "registry.test:$REGISTRY_TLS_PORT/coffer/nginx:latest"
	ok ctr images remove "registry.test:$REGISTRY_TLS_PORT/coffer/nginx:latest"
	umount /etc/hosts
	registry_stop tls
	unharmed
}

@test "401: no password, a wrong one, the right one; it is not told in errors or events" {
	local ref
	registry_start auth "$T/auth" auth
	ref=127.0.0.1:$REGISTRY_AUTH_PORT/coffer/nginx:latest
	images_copy --dest-creds coffer:secret "oci:$COFFER_FIXTURES/images:nginx" "docker://$ref"
	no_pull '401|unauthorized|authentication' "$ref"
	no_pull '401|unauthorized|authentication' "$ref" --user coffer:not-the-one
	[[ $stderr != *not-the-one* ]]
	ok ctr images pull --user coffer:secret "$ref"
	run ! grep -r secret "$T/cofferd.log"
	ok ctr images remove "$ref"
	registry_stop auth
	unharmed
}

@test "401 from a token service that denies, and one that loops" {
	no_pull '401|403|denied|unauthorized|login' "$EVIL/nobearer/busybox"
	no_pull '401|denied|unauthorized|login' "$EVIL/bearerloop/busybox"
	no_pull '401|unauthorized|authentication|login' "$EVIL/unauthorized/busybox"
}

@test "a token is fetched, and not sent where a layer is redirected to" {
	ok ctr images pull "$EVIL/bearer/busybox:latest"
	(($(evil_seen 'GET /v2/bearer/busybox/blobs/.* Bearer') >= 2))
	ok ctr images remove "$EVIL/bearer/busybox:latest"
	ok ctr images pull "$EVIL/redirect/busybox:latest"
	(($(evil_seen 'GET /elsewhere/') >= 1))
	[[ $(evil_seen 'GET /elsewhere/.* (Bearer|Basic)') == 0 ]]
	ok ctr images remove "$EVIL/redirect/busybox:latest"
	unharmed
}

@test "a layer whose digest does not match" { no_pull 'digest|sha256' "$EVIL/wrongblob/busybox"; }
@test "a manifest whose digest does not match" { no_pull 'digest|sha256' "$EVIL/wrongmanifest/multi"; }
@test "a layer cut short" { no_pull 'short|clos|ended|size|bytes' "$EVIL/cut/busybox"; }
@test "a layer that is longer than it says" { no_pull 'size|bytes|longer|long' "$EVIL/long/busybox"; }
@test "a layer that is not there" { no_pull 'not found|404|unknown' "$EVIL/missing/busybox"; }
@test "a manifest that is not JSON" { no_pull 'manifest|JSON|media type|text/html' "$EVIL/notjson/busybox"; }
@test "a manifest that is not UTF-8" { no_pull 'manifest|UTF-8|JSON' "$EVIL/notutf8/busybox"; }
@test "a manifest nested 100,000 deep" { no_pull 'manifest|JSON|deep' "$EVIL/deep/busybox"; }
@test "a manifest without end" { no_pull 'manifest|large|big|long|bytes' "$EVIL/huge/busybox"; }
@test "an empty manifest" { no_pull 'manifest|JSON|empty' "$EVIL/empty/busybox"; }
@test "a manifest with wrong types" { no_pull 'manifest|layer|digest' "$EVIL/wrongtypes/busybox"; }
@test "a manifest with negative sizes" { no_pull 'size' "$EVIL/negative/busybox"; }
@test "a manifest whose digests are paths" { no_pull 'digest' "$EVIL/baddigest/busybox"; }
@test "a manifest without layers and config" { no_pull 'config|manifest' "$EVIL/nolayers/busybox"; }
@test "a media type that nobody knows" { no_pull 'type|cake' "$EVIL/badmedia/busybox"; }
@test "Docker's first schema" { no_pull 'schema|type' "$EVIL/schema1/busybox"; }
@test "no manifest for this platform, and the message says which there are" {
	no_pull 's390x' "$REG/coffer/foreign:latest"
}
@test "a redirect to a file of this host" { no_pull 'redirect|protocol|file' "$EVIL/redirectfile/busybox"; }
@test "a redirect without end" { no_pull 'redirect' "$EVIL/redirectloop/busybox"; }
@test "500 at everything, with the registry's words" { no_pull '500|on fire' "$EVIL/error500/busybox"; }
@test "429: too many requests" { no_pull '429|rate|too many' "$EVIL/toomany/busybox"; }
@test "an answer of 100,000 headers" { no_pull 'header|large|big|answer' "$EVIL/headers/busybox"; }

@test "a layer that leaves its folder stays in it, or is refused" {
	local had=0
	[[ ! -e /tmp/escaped-by-dots ]] || had=1
	run ctr images pull "$REG/coffer/escape:latest"
	[[ $had == 1 || ! -e /tmp/escaped-by-dots ]] || fail "it got out"
	if ((status == 0)); then
		ok ctr images remove "$REG/coffer/escape:latest"
	fi
	unharmed
}

@test "503 at first, then all is well" {
	ok ctr images pull "$EVIL/once503/busybox:latest"
	ok ctr images remove "$EVIL/once503/busybox:latest"
	unharmed
}

@test "a connection lost in the middle of a layer: goes on where it was" {
	ok ctr images pull "$EVIL/cutonce/busybox:latest"
	(($(evil_seen 'GET /v2/cutonce/busybox/blobs/.* bytes=[1-9][0-9]*-') >= 1)) || fail "no Range"
	ok ctr images remove "$EVIL/cutonce/busybox:latest"
	unharmed
}

@test "a pull given up with Ctrl-C ends at once and leaves nothing behind" {
	local start
	start=$(now_ms)
	run on_terminal 'expect:[0-9a-f]{12}' 'send:\x03' -- "$COFFER_BUILD/ctr" images pull "$EVIL/slow/big"
	assert_status 130
	(($(now_ms) - start < 8000))
	unharmed
}

@test "while a registry is silent, others are served" {
	local pid
	ctr images pull "$EVIL/silent/busybox" >"$T/silent" 2>&1 3>&- &
	pid=$!
	ok ctr images pull "$REG/coffer/config:latest"
	ok ctr images remove "$REG/coffer/config:latest"
	kill -INT "$pid" 2>/dev/null || true
	wait "$pid" || true
	unharmed
}

@test "disk full during a pull: says so, leaves nothing, and works when there is room" {
	local before
	coffer_stop
	mkdir -p "$T/small"
	mount -t tmpfs -o size=30m,mode=711 small "$T/small"
	ROOT=$T/small/root coffer_start
	before=$(workers_now)
	MAY_PRINT=1 refused 1 'space' ctr images pull "$REG/coffer/big:latest"
	[[ $(workers_now) == "$before" ]]
	ok ctr images list -q
	assert_is ""
	ROOT=$T/small/root nothing_left
	ok ctr images pull "$REG/coffer/busybox:latest"
	ok ctr run --rm "$REG/coffer/busybox:latest" cr-small echo fits
	assert_is fits
	mount -o remount,size=300m "$T/small"
	ok ctr images pull "$REG/coffer/big:latest"
	coffer_stop
	umount "$T/small"
	coffer_start
}
