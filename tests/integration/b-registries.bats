#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-registries - where images come from: mirrors and certificates of hosts.toml, logins, proxies, HTTP/2,
# platforms, and whether what is here is what the registry has.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[content]\nhosts-dir = "%s/certs.d"\n' "$T" >"$T/config.toml"
	mkdir "$T/certs.d" "$T/hosts.d"
	fixtures_or_make
	registry_start main "$COFFER_FIXTURES/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	echo "127.0.0.1 localhost registry.test" >"$T/hosts"
	mount --bind "$T/hosts" /etc/hosts
	registry_start tls "$T/tls" tls
	images_copy "oci:$COFFER_FIXTURES/images:busybox" "docker://127.0.0.1:$REGISTRY_TLS_PORT/coffer/busybox:latest"
	coffer_start
	evil_start
}
setup() { EVIL=127.0.0.1:$(<"$T/evil.port") fixtures_kept=$COFFER_FIXTURES; }
teardown_file()
{
	umount /etc/hosts || true
	registry_stop tls
	harness_down
}
fixtures_or_make()
{
	[[ -n ${COFFER_FIXTURES-} ]] && return
	export COFFER_FIXTURES=$T/fixtures
	fixtures_make "$COFFER_FIXTURES"
}
# hosts DIR HOST: hosts.toml for it, from stdin
hosts() { mkdir -p "$1/$2" && cat >"$1/$2/hosts.toml"; }
# mirror MODE: a host table of the evil registry as a mirror of registry.invalid
mirror() { printf '[host."http://%s/v2/%s"]\noverride_path = true\ncapabilities = ["pull", "resolve"]\n' "$EVIL" "$1"; }

# --- platforms ---------------------------------------------------------------------------------------

@test "all platforms, several, and what --verify-only says" {
	local ref=$REG/coffer/multi:latest
	refused 1 'not here' ctr images pull --verify-only "$ref"
	ok ctr images pull "$ref"
	ok ctr images pull --verify-only "$ref"
	MAY_PRINT=1 refused 1 'not whole here: manifest sha256:.* missing' ctr images pull --verify-only --all-platforms "$ref"
	[[ $(ctr content list -q | wc -l) == 4 ]]
	ok ctr images pull --platform linux/s390x --platform linux/arm64 "$ref"
	ok ctr images pull --verify-only --platform linux/s390x --platform linux/arm64 "$ref"
	ok ctr images pull --all-platforms "$ref"
	ok ctr images pull --verify-only --all-platforms "$ref"
	[[ $(ctr content list -q | wc -l) == 10 ]]
	refused 2 'exclude' ctr images pull --all-platforms --platform linux/amd64 "$ref"
	refused 1 'mips.*it has' ctr images pull --platform linux/mips --platform linux/amd64 "$ref"
	ok ctr run --rm "$ref" br-multi
}

@test "indexes in an index, with attestations beside the images: one platform, all, and back again" {
	local oci=$harness_lib/oci-image layout=$T/nested ref=$REG/x/nested:1
	mkdir -p "$T/nest/a" "$T/nest/b"
	echo a >"$T/nest/a/file"
	echo b >"$T/nest/b/file"
	images_tar "$T/nest/a" "$T/nest/a.tar"
	images_tar "$T/nest/b" "$T/nest/b.tar"
	"$oci" image "$layout" host "gzip:$T/nest/a.tar"
	"$oci" image "$layout" other --platform linux/s390x "gzip:$T/nest/b.tar"
	"$oci" artifact "$layout" note
	"$oci" index "$layout" inner host other note
	"$oci" index "$layout" outer inner note
	# skopeo knows of no index in an index.
	images_copy --all "oci:$layout:inner" "docker://$REG/x/nested:inner"
	curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' "http://$REG/v2/x/nested/manifests/1" --data-binary \
	    "@$layout/blobs/sha256/$(jq -r '.manifests[] | select(.annotations[] == "outer") | .digest[7:]' "$layout/index.json")"
	ok ctr images pull "$ref"
	[[ $(ctr images info "$ref" | jq '.layers | length') == 1 ]]
	refused 1 'mips64le' ctr images pull --platform linux/mips64le "$ref"
	ok ctr images pull --all-platforms "$ref"
	ok ctr gc
	ok ctr images pull --verify-only --all-platforms "$ref"
	ok ctr images push -q "$REG/x/again:1" "$ref"
	[[ $(skopeo inspect --raw --tls-verify=false "docker://$REG/x/again:1") == "$(skopeo inspect --raw --tls-verify=false "docker://$ref")" ]]
	ok ctr images remove "$ref"
	ok ctr gc
	ok ctr images pull --all-platforms "$REG/x/again:1"
	ok ctr images remove "$REG/x/again:1"
	# Of an attestation alone nothing can be run.
	images_copy "oci:$layout:note" "docker://$REG/x/note:1"
	MAY_PRINT=1 refused 1 'not a container image' ctr images pull "$REG/x/note:1"
}

@test "--verify-only: a damaged blob is found, a tag that means something else by now is told" {
	local ref=$REG/coffer/zstd:latest f
	ok ctr images pull "$ref"
	f=$ROOT/content/blobs/sha256/$(ctr images info "$ref" | jq -r '.layers[0].digest[7:]')
	cp -a "$f" "$T/right"
	printf x | dd of="$f" bs=1 seek=100 conv=notrunc status=none
	MAY_PRINT=1 refused 1 "layer sha256:${f##*/} is damaged" ctr images pull --verify-only "$ref"
	cat "$T/right" >"$f"
	ok ctr images pull --verify-only "$ref"
	ok ctr images tag --force "$REG/coffer/multi:latest" "$ref"
	refused 1 'another one at its registry' ctr images pull --verify-only "$ref"
	ok ctr images remove "$ref"
}

@test "by tag and digest: the digest counts, the name has both" {
	local digest
	digest=$(skopeo inspect --raw --tls-verify=false "docker://$REG/coffer/busybox:latest" | sha256sum | cut -c 1-64)
	ok ctr images pull -q "$REG/coffer/busybox:nosuchtag@sha256:$digest"
	assert_is "$REG/coffer/busybox:nosuchtag@sha256:$digest"
	ok ctr images remove "$REG/coffer/busybox:nosuchtag@sha256:$digest"
}

# --- hosts.toml ----------------------------------------------------------------------------------------

@test "a mirror of the daemon's folder is asked first, for whom it stands, without a restart" {
	mirror ok | hosts "$T/certs.d" registry.invalid
	ok ctr images pull registry.invalid/coffer/busybox:latest
	(($(evil_seen 'GET /v2/ok/coffer/busybox/manifests/latest\?ns=registry.invalid') >= 1))
	(($(evil_seen 'GET /v2/ok/coffer/busybox/blobs/sha256:.*\?ns=registry.invalid') >= 2))
	ok ctr images remove registry.invalid/coffer/busybox:latest
	rm -r "$T/certs.d/registry.invalid"
	refused 1 'registry.invalid cannot be reached' ctr images pull registry.invalid/coffer/busybox:latest
}

@test "mirrors that are down, refuse, break or lie: each is passed over, and what came is whole" {
	local mode
	for mode in error500 unauthorized nobearer missing cut wrongblob wrongmanifest notjson redirectfile long headers toomany; do
		{
			echo "server = 'http://$REG'"
			mirror "$mode"
			printf '[host."http://127.0.0.1:%s"]\n' "$(free_port)"
		} | hosts "$T/hosts.d" registry.invalid
		ok ctr images pull --hosts-dir "$T/hosts.d" registry.invalid/coffer/busybox:latest || fail "$mode" || return 1
		ok ctr images pull --hosts-dir "$T/hosts.d" --verify-only registry.invalid/coffer/busybox:latest
		ok ctr images remove registry.invalid/coffer/busybox:latest
	done
}

@test "a large layer in pieces from a mirror that breaks, lies or knows no Range, and the rest from the registry" {
	local mode layout=$T/large
	mkdir -p "$T/forty"
	openssl enc -aes-128-ctr -K 00000000000000000000000000000007 -iv 0 -in /dev/zero 2>/dev/null | head -c $((40 << 20)) >"$T/forty/file"
	images_tar "$T/forty" "$T/forty.tar"
	"$harness_lib/oci-image" image "$layout" large "none:$T/forty.tar"
	images_copy --preserve-digests "oci:$layout:large" "docker://$REG/coffer/large:latest"
	COFFER_FIXTURES=$T/nowhere
	mkdir -p "$T/nowhere" && ln -sfn "$layout" "$T/nowhere/images"
	evil_start
	for mode in cut wrongblob norange wrongpart; do
		{
			echo "server = 'http://$REG'"
			mirror "$mode"
		} | hosts "$T/hosts.d" registry.invalid
		ok ctr images pull --no-unpack --hosts-dir "$T/hosts.d" registry.invalid/coffer/large:latest || fail "$mode" || return 1
		ok ctr images pull --hosts-dir "$T/hosts.d" --verify-only registry.invalid/coffer/large:latest
		ok ctr images remove --sync registry.invalid/coffer/large:latest
	done
	(($(evil_seen 'GET /v2/cut/.* bytes=') >= 1)) || fail "no pieces"
	COFFER_FIXTURES=${fixtures_kept:?}
	evil_start
}

@test "all places failed: the error is the registry's, and names the first mirror too" {
	{
		echo "server = 'http://$REG'"
		mirror error500
	} | hosts "$T/hosts.d" registry.invalid
	refused 1 "$REG; and registry $EVIL answers 500" ctr images pull --hosts-dir "$T/hosts.d" registry.invalid/coffer/nosuch:latest
}

@test "capabilities: who may not resolve is asked for blobs only; who may not push is not pushed to" {
	{
		echo "server = 'http://$REG'"
		mirror ok | sed 's/"pull", "resolve"/"pull"/'
	} | hosts "$T/hosts.d" registry.invalid
	curl -s "http://$EVIL/forget" >/dev/null
	ok ctr images pull --hosts-dir "$T/hosts.d" registry.invalid/coffer/zstd:latest
	[[ $(evil_seen 'GET /v2/ok/coffer/zstd/manifests/latest') == 0 ]]
	[[ $(evil_seen 'GET /v2/ok/coffer/zstd/blobs/') != 0 ]]
	ok ctr images push --hosts-dir "$T/hosts.d" registry.invalid/coffer/pushed:latest registry.invalid/coffer/zstd:latest
	ok ctr images pull "$REG/coffer/pushed:latest"
	echo 'capabilities = ["pull", "resolve"]' | hosts "$T/hosts.d" registry.invalid
	refused 1 'no host of registry registry.invalid may be pushed to' ctr images push --hosts-dir "$T/hosts.d" \
	    registry.invalid/coffer/pushed:2 "$REG/coffer/pushed:latest"
}

@test "headers of hosts.toml go to their host, and not where it redirects to" {
	{
		mirror redirect
		printf 'header = "no"\n'
	} | hosts "$T/hosts.d" registry.invalid
	refused 2 'hosts.toml:4: ' ctr images pull --hosts-dir "$T/hosts.d" registry.invalid/coffer/busybox:latest
	{
		mirror otherhost
		printf '[host."http://%s/v2/otherhost".header]\nAuthorization = "Basic c2VjcmV0"\nX-Secret = ["canary-1", "canary-2"]\n' "$EVIL"
	} | hosts "$T/hosts.d" registry.invalid
	ok ctr images pull --hosts-dir "$T/hosts.d" registry.invalid/coffer/busybox:latest
	(($(evil_seen 'GET /v2/otherhost/.*/blobs/.* Basic X-Secret') >= 1)) || fail "$(curl -s "http://$EVIL/seen")"
	(($(evil_seen 'GET /elsewhere/') >= 1))
	[[ $(evil_seen 'GET /elsewhere/.*(Basic|X-Secret)') == 0 ]]
	ok ctr images remove registry.invalid/coffer/busybox:latest
	run ! grep -rq canary "$T/cofferd.log" "$ROOT/content/db"
}

@test "a file that is wrong: its name, its line, the reason, by ctr and by the daemon" {
	printf 'server = "x"\n\ncapabilities = ["fly"]\n' | hosts "$T/hosts.d" registry.invalid
	refused 2 'hosts.d/registry.invalid/hosts.toml:3: unknown capability fly' ctr images pull --hosts-dir "$T/hosts.d" registry.invalid/x/y
	printf '[host."http://x"]\nca = "gone.pem"\n' | hosts "$T/certs.d" registry.invalid
	refused 2 'certs.d/registry.invalid/hosts.toml:2: gone.pem: No such file' ctr images pull registry.invalid/x/y ||
	    refused 1 'certs.d/registry.invalid/hosts.toml:2: gone.pem: No such file' ctr images pull registry.invalid/x/y
	rm -r "$T/certs.d/registry.invalid"
}

# --- TLS -------------------------------------------------------------------------------------------------

@test "a CA of our own: by hosts.toml, by docker's folder, by option; HTTP/2 is spoken" {
	local ref=registry.test:$REGISTRY_TLS_PORT/coffer/busybox:latest
	MAY_PRINT=1 refused 1 certificate ctr images pull "$ref"
	printf 'server = "https://registry.test:%s"\nca = "ca.pem"\n' "$REGISTRY_TLS_PORT" | hosts "$T/hosts.d" "registry.test_${REGISTRY_TLS_PORT}_"
	cp "$T/tls/ca.pem" "$T/hosts.d/registry.test_${REGISTRY_TLS_PORT}_/ca.pem"
	ok ctr images pull --hosts-dir "$T/hosts.d" "$ref"
	grep -q 'GET /v2/coffer/busybox/manifests/latest HTTP/2.0" 200' "$REGISTRY_TLS_LOG" || fail "no HTTP/2"
	ok ctr images remove "$ref"
	mkdir -p "$T/certs.d/registry.test:$REGISTRY_TLS_PORT"
	cp "$T/tls/ca.pem" "$T/certs.d/registry.test:$REGISTRY_TLS_PORT/ca.crt"
	chmod -R go+rX "$T/certs.d"
	ok ctr images pull "$ref"
	ok ctr images remove "$ref"
	rm -r "$T/certs.d/registry.test:$REGISTRY_TLS_PORT"
	ok ctr images pull --tlscacert "$T/tls/ca.pem" "$ref"
	ok ctr images push --tlscacert "$T/tls/ca.pem" "registry.test:$REGISTRY_TLS_PORT/coffer/again:1" "$ref"
	ok ctr images remove "$ref"
	refused 1 'No such file' ctr images pull --tlscacert "$T/gone.pem" "$ref"
	refused 2 'go together' ctr images pull --tlscert "$T/tls/ca.pem" "$ref"
}

@test "a certificate that is expired, for another name, self-signed; one that the server wants from us" {
	local kind
	mkdir -p "$T/certs"
	for kind in expired other self; do
		certificate "$kind"
		evil_start --tls "$T/certs/$kind.pem" "$T/certs/$kind.key"
		MAY_PRINT=1 refused 1 certificate ctr images pull --tlscacert "$T/tls/ca.pem" "registry.test:${EVIL##*:}/ok/busybox:latest"
		ok ctr images pull --skip-verify "registry.test:${EVIL##*:}/ok/busybox:latest"
		ok ctr images remove "registry.test:${EVIL##*:}/ok/busybox:latest"
	done
	certificate client
	evil_start --tls "$T/tls/server.pem" "$T/tls/server.key" --client-ca "$T/tls/ca.pem"
	MAY_PRINT=1 refused 1 'certificate|TLS|broke' ctr images pull --tlscacert "$T/tls/ca.pem" "registry.test:${EVIL##*:}/ok/busybox:latest"
	printf 'server = "https://registry.test:%s"\nca = "%s"\nclient = [["%s", "%s"]]\n' "${EVIL##*:}" "$T/tls/ca.pem" \
	    "$T/certs/client.pem" "$T/certs/client.key" | hosts "$T/hosts.d" "registry.test:${EVIL##*:}"
	ok ctr images pull --hosts-dir "$T/hosts.d" "registry.test:${EVIL##*:}/ok/busybox:latest"
	ok ctr images remove "registry.test:${EVIL##*:}/ok/busybox:latest"
	evil_start
}
# certificate KIND: T/certs/KIND.{pem,key}
certificate()
{
	local to=$T/certs/$1 name=registry.test
	[[ $1 != other ]] || name=someone.else
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -keyout "$to.key" -out "$to.csr" 2>/dev/null
	case $1 in
	self) openssl x509 -req -in "$to.csr" -signkey "$to.key" -days 30 -out "$to.pem" -extfile <(echo "subjectAltName=DNS:$name") 2>/dev/null ;;
	expired)
		openssl x509 -req -in "$to.csr" -CA "$T/tls/ca.pem" -CAkey "$T/tls/ca.key" -CAcreateserial -days -1 \
		    -out "$to.pem" -extfile <(echo "subjectAltName=DNS:$name") 2>/dev/null
		;;
	*)
		openssl x509 -req -in "$to.csr" -CA "$T/tls/ca.pem" -CAkey "$T/tls/ca.key" -CAcreateserial -days 30 \
		    -out "$to.pem" -extfile <(echo "subjectAltName=DNS:$name") 2>/dev/null
		;;
	esac
}

# --- logins ------------------------------------------------------------------------------------------------

@test "an identity token is traded for an access token, and is in no log and no store" {
	mkdir -p "$T/docker"
	jq -n --arg r "$EVIL" '{auths: {($r): {identitytoken: "identity-secret"}}}' >"$T/docker/config.json"
	DOCKER_CONFIG=$T/docker ok ctr images pull "$EVIL/identity/busybox:latest"
	(($(evil_seen 'POST /token/identity') == 1))
	ok ctr images remove "$EVIL/identity/busybox:latest"
	jq -n --arg r "$EVIL" '{auths: {($r): {identitytoken: "wrong-secret"}}}' >"$T/docker/config.json"
	DOCKER_CONFIG=$T/docker refused 1 'does not accept' ctr images pull "$EVIL/identity/busybox:latest"
	run ! grep -rqE 'identity-secret|wrong-secret' "$T/cofferd.log" "$ROOT/content/db" "$ROOT/events/db"
}

# --- proxies -----------------------------------------------------------------------------------------------

@test "a proxy of the daemon's environment, in capitals too; not for loopback, not for no_proxy" {
	local port variable
	"$harness_lib/proxy.py" <&- >"$T/proxy.port" 2>"$T/proxy.log" 3>&- &
	echo $! >"$T/proxy.pid"
	disown
	wait_until 10 test -s "$T/proxy.port"
	port=$(<"$T/proxy.port")
	for variable in http_proxy HTTP_PROXY; do
		coffer_stop
		declare -x "$variable=http://127.0.0.1:$port"
		coffer_start
		unset "$variable"
		ok ctr images pull --plain-http "registry.test:$REGISTRY_MAIN_PORT/coffer/busybox:latest"
		grep -q "GET http://registry.test:$REGISTRY_MAIN_PORT/v2/coffer/busybox/manifests/latest" "$T/proxy.log" || fail "not by the proxy"
		ok ctr images remove "registry.test:$REGISTRY_MAIN_PORT/coffer/busybox:latest"
		: >"$T/proxy.log"
		ok ctr images pull "$REG/coffer/busybox:latest"
		ok ctr images remove "$REG/coffer/busybox:latest"
		[[ ! -s $T/proxy.log ]] || fail "loopback went by the proxy"
	done
	coffer_stop
	https_proxy=http://127.0.0.1:$port coffer_start
	ok ctr images pull --tlscacert "$T/tls/ca.pem" "registry.test:$REGISTRY_TLS_PORT/coffer/busybox:latest"
	grep -q "CONNECT registry.test:$REGISTRY_TLS_PORT" "$T/proxy.log" || fail "not by the proxy"
	ok ctr images remove "registry.test:$REGISTRY_TLS_PORT/coffer/busybox:latest"
	coffer_stop
	: >"$T/proxy.log"
	https_proxy=http://127.0.0.1:$port NO_PROXY=registry.test coffer_start
	ok ctr images pull --tlscacert "$T/tls/ca.pem" "registry.test:$REGISTRY_TLS_PORT/coffer/busybox:latest"
	[[ ! -s $T/proxy.log ]] || fail "no_proxy went by the proxy"
	kill "$(<"$T/proxy.pid")"
}

# --- progress ----------------------------------------------------------------------------------------------

@test "progress: bars with bytes and rate that survive a resize; lines in a pipe; JSON; nothing with --quiet" {
	local ref=$EVIL/slow/big:latest
	run on_terminal --size 110x30 --limit 60 'expect:layer +sha256:[0-9a-f]{12} +downloading +\[=+> +\] +[0-9.]+ MiB / 12.0 MiB +[0-9.]+ [KM]iB/s' \
	    'size:70x20' 'expect:\x1b\[[0-9]+A' 'expect:layer +sha256:[0-9a-f]{12} +downloading .*MiB / 12.0 MiB' 'send:\x03' \
	    -- "$COFFER_BUILD/ctr" images pull "$ref"
	assert_status 130
	ok ctr images pull "$EVIL/ok/config:latest"
	assert_match '^layer sha256:[0-9a-f]{12}: downloading 1.1 MiB$'
	assert_match '^layer sha256:[0-9a-f]{12}: verifying$'
	assert_match '^layer sha256:[0-9a-f]{12}: unpacking$'
	assert_match '^layer sha256:[0-9a-f]{12}: done$'
	ok ctr images pull --format json "$EVIL/ok/nginx:latest"
	jq -es '([.[] | select(.kind == "layer") | .state] | unique) - ["waiting"] == ["done", "downloading", "unpacking", "verifying"]' <<<"$output" >/dev/null ||
	    fail "$output"
	[[ $(tail -n 1 <<<"$output" | jq -r .image.name) == "$EVIL/ok/nginx:latest" ]]
	ok ctr images pull --quiet "$EVIL/ok/zstd:latest"
	assert_is "$EVIL/ok/zstd:latest"
	ok ctr images pull --quiet --format json "$EVIL/ok/zstd:latest"
	jq -e .image.target.digest <<<"$output" >/dev/null
}
