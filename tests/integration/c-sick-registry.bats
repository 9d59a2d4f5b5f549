#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-sick-registry - more registries that are wrong, slow or hostile (see c-bad-registry): one clear line,
# bounded memory and time, nothing left behind.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[content]\nstall-timeout = 2\ndownload-retries = 3\n' >"$T/config.toml"
	if [[ -z ${COFFER_FIXTURES-} ]]; then
		export COFFER_FIXTURES=$T/fixtures
		fixtures_make "$COFFER_FIXTURES"
	fi
	registry_start main "$COFFER_FIXTURES/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	coffer_start
	evil_start
	state_now >"$T/state.before"
	workers_now >"$T/workers.before"
}
setup() { EVIL=127.0.0.1:$(<"$T/evil.port"); }
teardown_file() { harness_down; }

# unharmed: what the daemon holds is as before, and its workers are the same processes
unharmed()
{
	state_now >"$T/state.now"
	diff "$T/state.before" "$T/state.now" >&2 || fail "the state changed" || return 1
	[[ $(workers_now) == "$(<"$T/workers.before")" ]] || fail "workers: $(workers_now)" || return 1
}
# no_pull REGEX MODE [OPTION...]: busybox of the evil registry
no_pull()
{
	local regex=$1 mode=$2
	shift 2

	MAY_PRINT=1 refused "${PULL_STATUS:-1}" "$regex" ctr images pull "$@" "$EVIL/$mode/busybox:latest" || return 1
	unharmed
}
# works MODE: it comes in the end
works()
{
	ok ctr images pull "$EVIL/$1/busybox:latest" || return 1
	ok ctr images remove "$EVIL/$1/busybox:latest" || return 1
	unharmed
}
# content_kb: private and shared memory of the content worker, at its highest
content_kb() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(worker_pid content)/status"; }

@test "a document that reads as an index and as a manifest" { no_pull 'ambiguous|index and a manifest' both; }
@test "a Content-Type that is not the document's mediaType" { no_pull 'mediaType.*not the announced' wrongtype; }
@test "a descriptor that is a byte short: the layer is longer than it says" { no_pull 'announced' toosmall; }
@test "a descriptor that is a byte too large" { no_pull 'announced|short' toolarge; }
@test "a Content-Length that is too small" { no_pull 'announced|short' shortlength; }
@test "a layer without length and without end" { no_pull 'longer than' endless; }
@test "an index that names a digest of itself" { no_pull 'digest|not what it should be' selfindex; }
@test "indexes in indexes, 10,000 of them" { PULL_STATUS=2 no_pull 'deeper than' chain; }
@test "a manifest of a million values, of a million layers" {
	no_pull 'values|larger' million
	no_pull 'values|layers' millionlayers
}
@test "a manifest of 200 MB: refused at 4 MiB, in memory that shows it" {
	local before
	before=$(content_kb)
	no_pull 'larger than' mb200
	(($(content_kb) < before + 24000)) || fail "$before KiB, then $(content_kb)"
}
@test "JSON: duplicate keys, NULs, huge numbers, what stands behind or before" {
	local mode
	for mode in dupkeys rawnul nul hugesize exponent trailing bom; do
		no_pull 'manifest.*(JSON|size|NUL|not a number|range)' "$mode" || fail "$mode" || return 1
	done
	no_pull 'manifest|busybox' hugenumber
}

@test "URLs in descriptors are not followed" {
	curl -s "http://$EVIL/forget" >/dev/null
	no_pull 'not found' urls
	[[ $(evil_seen trap) == 0 ]]
}

@test "control characters and escapes of a registry never reach the terminal" {
	local mode
	for mode in escapes escapetype; do
		no_pull . "$mode" || return 1
		[[ $stderr != *[$'\x01'-$'\x09\x0b'-$'\x1f\x7f']* ]] || fail "raw: $(cat -v <<<"$stderr")" || return 1
		[[ $stderr != *$'\u202e'* ]] || fail "turns the text around"
	done
	refused 2 'not valid' ctr images pull "$EVIL/ok/busybox:"$'\x1b[2Jx\n'
	[[ $stderr != *$'\x1b'* ]]
}

@test "https never goes to http" {
	registry_ca "$T"
	evil_start --tls "$T/server.pem" "$T/server.key"
	no_pull 'redirects to http://.*refused, it is not https' redirectplain --skip-verify
	evil_start
}

@test "token services: slow, huge, wrong, at an address that is not theirs to name" {
	no_pull 'token service' slowtoken
	no_pull 'more than 65536 bytes' bigtoken
	no_pull 'bytes that no header may have' badtoken
	no_pull '169.254.169.254.*refused' linktoken
	echo "127.0.0.1 localhost registry.test" >"$T/hosts"
	mount --bind "$T/hosts" /etc/hosts
	MAY_PRINT=1 refused 1 'token service http://127.0.0.1.*refused' ctr images pull --plain-http "registry.test:${EVIL##*:}/bearer/busybox"
	umount /etc/hosts
	unharmed
}

@test "429 with Retry-After and without, a burst of 500, 502 and 503: waited for" {
	local start
	start=$(now_ms)
	works once429
	(($(now_ms) - start >= 1950)) || fail "it did not wait: the manifest asked for a second, config and layer for another"
	works bare429
	works burst
}

@test "a byte a second: given up" {
	local start
	start=$(now_ms)
	no_pull 'broke|slow|too slow|bytes/sec' bytesecond
	(($(now_ms) - start < 25000))
}

@test "a connection reset at every byte of the manifest: an error each time, whole at the end" {
	local n=$(($(curl -s "http://$EVIL/v2/resetat/busybox/manifests/999999" | wc -c)))
	coffer_stop
	cp "$T/config.toml" "$T/config.kept"
	sed -i 's/retries = 3/retries = 0/' "$T/config.toml"
	coffer_start
	export EVIL COFFER_BUILD COFFER_ADDRESS
	# shellcheck disable=SC2016
	seq 0 $((n - 1)) | xargs -P 4 -n 1 sh -c '"$COFFER_BUILD/ctr" images pull "$EVIL/resetat/busybox:$1" >/dev/null 2>"$T/reset.$1"; echo "$1 $?"' sh >"$T/resets"
	[[ $(wc -l <"$T/resets") == "$n" ]]
	run ! grep -v ' 1$' "$T/resets"
	[[ -z $(grep -L 'connection to registry .* broke' "$T"/reset.*) ]]
	rm -f "$T"/reset.*
	ok ctr images pull "$EVIL/resetat/busybox:$n"
	ok ctr images remove "$EVIL/resetat/busybox:$n"
	coffer_stop
	mv "$T/config.kept" "$T/config.toml"
	coffer_start
	workers_now >"$T/workers.before"
}

@test "ten pulls of overlapping images at once, a fifth of all answers fails: all come, each blob once" {
	local i name pids=()
	curl -s "http://$EVIL/forget" >/dev/null
	i=0
	for name in busybox nginx layers zstd config busybox nginx layers zstd big; do
		i=$((i + 1))
		ctr images pull "$EVIL/fifth/run$i/$name:latest" >"$T/ten.$i" 2>&1 3>&- &
		pids+=("$!")
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail "$(cat "$T"/ten.*)" || return 1
	done
	[[ $(ctr images list -q | grep -c "^$EVIL/fifth/") == 10 ]]
	# What was sent of each blob, by whichever path, is its size: nothing twice.
	curl -s "http://$EVIL/sent" | sed -E 's,/v2/.*/blobs/,,' | awk '{sum[$2] += $1} END {for (d in sum) print d, sum[d]}' >"$T/sent"
	while read -r digest sum; do
		((sum == $(stat -c %s "$ROOT/content/blobs/sha256/${digest#sha256:}"))) || fail "$digest: $sum bytes sent" || return 1
	done <"$T/sent"
	(($(wc -l <"$T/sent") >= 15))
	(($(evil_seen 'bytes=[1-9]') >= 1)) || fail "nothing was cut"
	for name in $(ctr images list -q); do
		ok ctr images remove "$name"
	done
	unharmed
}

@test "a user of 2^31 and more in an image's config is refused, not root" {
	local user
	registry_start own "$T/own"
	for user in 2147483648 4294967296 4294967296:0 0:2147483648 -1; do
		"$harness_lib/oci-image" image "$T/layout" user --config "$(jq -nc --arg u "$user" '{User: $u, Env: ["PATH=/bin"], Cmd: ["id", "-u"]}')" \
		    "none:$(tar_of_busybox)"
		images_copy "oci:$T/layout:user" "docker://127.0.0.1:$REGISTRY_OWN_PORT/x/user:latest"
		ok ctr images pull "127.0.0.1:$REGISTRY_OWN_PORT/x/user:latest"
		run --separate-stderr ctr run --rm "127.0.0.1:$REGISTRY_OWN_PORT/x/user:latest" cs-user
		[[ $status == 125 && -z $output ]] || fail "$user: $status $output $stderr" || return 1
		grep -qi 'user\|group\|uid' <<<"$stderr" || fail "$user: $stderr" || return 1
	done
	ok ctr images remove "127.0.0.1:$REGISTRY_OWN_PORT/x/user:latest"
	registry_stop own
	unharmed
}
tar_of_busybox()
{
	[[ -e $T/bb.tar ]] || {
		mkdir -p "$T/bb/bin"
		cp -L "$(command -v busybox)" "$T/bb/bin/busybox"
		ln -s busybox "$T/bb/bin/id"
		images_tar "$T/bb" "$T/bb.tar"
	}
	echo "$T/bb.tar"
}
