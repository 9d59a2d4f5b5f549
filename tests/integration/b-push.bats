#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-push - images sent to registries: what another tool reads back, what is not sent again, what a
# broken line, a killed worker and a wrong login do.

load ../lib/harness.bash

setup_file()
{
	harness_up
	registry_start push "$T/push"
	export P=127.0.0.1:$REGISTRY_PUSH_PORT
}
teardown_file()
{
	link_stop
	registry_stop push
	evil_stop
	harness_down
}

# link_start ARGUMENT...: a bad line to registry push, at $LINK
link_start()
{
	link_stop
	rm -f "$T/link.port"
	"$harness_lib/bad_link.py" "$REGISTRY_PUSH_PORT" "$@" </dev/null >"$T/link.port" 3>&- &
	echo $! >"$T/link.pid"
	disown
	wait_until 10 test -s "$T/link.port"
	LINK=127.0.0.1:$(<"$T/link.port")
}
link_stop()
{
	[[ ! -e $T/link.pid ]] || kill "$(<"$T/link.pid")" 2>/dev/null || true
	rm -f "$T/link.pid"
}
# same IMAGE REF: skopeo finds at REF, byte for byte, what IMAGE is here
same()
{
	local dir=$T/back f digest

	rm -rf "$dir"
	skopeo --insecure-policy copy -q --all --preserve-digests --src-tls-verify=false "docker://$2" "oci:$dir:x" </dev/null ||
	    fail "skopeo cannot read $2" || return 1
	digest=$(ctr images list --format json | jq -r --arg n "$1" '.[] | select(.name == $n) | .target.digest')
	[[ sha256:$(skopeo inspect --raw --tls-verify=false "docker://$2" | sha256sum | cut -c 1-64) == "${3:-$digest}" ]] ||
	    fail "another manifest at $2" || return 1
	for f in "$dir"/blobs/sha256/*; do
		cmp "$f" "$ROOT/content/blobs/sha256/${f##*/}" || return 1
	done
}

@test "what is pushed is what skopeo reads back; again nothing is sent; elsewhere it is mounted" {
	local ref
	ref=$(pulled big)
	ok ctr images push "$P/a/big:1" "$ref"
	assert_match '^layer sha256:[0-9a-f]{12}: uploading 12.0 MiB$'
	[[ ${lines[-1]} == "$P/a/big:1" ]]
	same "$ref" "$P/a/big:1"
	ok ctr images push "$P/a/big:1" "$ref"
	assert_hasnt uploading
	ok ctr images push --format json "$P/b/big:1" "$ref"
	[[ $(jq -s '[.[] | select(.state == "mounted")] | length' <<<"$output") == 6 ]] || fail "$output"
	(($(tail -n 1 <<<"$output" | jq .bytes) < 2000)) || fail "$output"
	same "$ref" "$P/b/big:1"
}

@test "an index with all its platforms; what is not here is said; one platform alone" {
	local ref digest
	ref=$(pulled multi)
	refused 1 'not all of it is here.*--platform' ctr images push "$P/a/multi:1" "$ref"
	ok ctr images push --platform linux/amd64 "$P/a/multi:amd64" "$ref"
	digest=$(skopeo inspect --raw --tls-verify=false "docker://$P/a/multi:amd64" | sha256sum | cut -c 1-64)
	same "$ref" "$P/a/multi:amd64" "sha256:$digest"
	ok ctr images pull --all-platforms "$ref"
	ok ctr images push -q "$P/a/multi:1" "$ref"
	assert_is "$P/a/multi:1"
	same "$ref" "$P/a/multi:1"
	# The tag means another image from now on.
	ok ctr images push -q "$P/a/multi:1" "$REG/coffer/big:latest"
	same "$REG/coffer/big:latest" "$P/a/multi:1"
}

@test "an image pushed by its own name, Docker's types" {
	local ref
	ref=$(pulled docker)
	ok ctr images tag "$ref" "$P/own/docker:2"
	ok ctr images push "$P/own/docker:2"
	same "$ref" "$P/own/docker:2"
	refused 1 'not here' ctr images push "$P/own/nosuch:1"
}

@test "in chunks" {
	local ref
	ref=$(pulled big)
	registry_start chunks "$T/chunks"
	ok ctr images push -q --chunk-size 5m "127.0.0.1:$REGISTRY_CHUNKS_PORT/c/big:1" "$ref"
	same "$ref" "127.0.0.1:$REGISTRY_CHUNKS_PORT/c/big:1"
	(($(grep -c '"PATCH .*" 202' "$REGISTRY_CHUNKS_LOG") == 13)) ||
	    fail "not three chunks for each of the four large layers, and one for the small one"
	registry_stop chunks
	refused 2 'chunk' ctr images push --chunk-size 10 "$P/c/big:1" "$ref"
}

# evil_push MODE [OPTION...]: pushes busybox there; what is then there is what is here
evil_push()
{
	ok ctr images push "${@:2}" "$EVIL/$1/busybox:1" "$(pulled busybox)"
	[[ $(curl -sf "http://$EVIL/v2/$1/busybox/manifests/1" | sha256sum | cut -c 1-64) == "$(ctr images list --format json |
	    jq -r --arg n "$REG/coffer/busybox:latest" '.[] | select(.name == $n) | .target.digest[7:]')" ]]
}

@test "a broken upload goes on where the registry says it is" {
	evil_start
	evil_push pushcut --chunk-size 100k
	(($(evil_seen 'GET /v2/pushcut/busybox/blobs/uploads/') >= 1)) || fail "nobody asked how far it came"
	(($(evil_seen 'POST /v2/pushcut/busybox/blobs/uploads/') == 2)) || fail "it was not one upload each"
	evil_stop
	# And in one request: what came of it is not sent again.
	evil_start
	evil_push pushcut
	(($(evil_seen 'PATCH /v2/pushcut/busybox/blobs/uploads/') == 2)) || fail "$(curl -s "http://$EVIL/seen")"
	evil_stop
}

@test "an upload that is lost starts over; one that was taken in part goes on there; 503 now and then" {
	evil_start
	evil_push pushlost --chunk-size 100k
	evil_stop
	evil_start
	evil_push pushless --chunk-size 100k
	evil_stop
	evil_start
	evil_push pushbusy --chunk-size 100k
	evil_stop
	evil_start
	evil_push push413
	evil_stop
}

@test "a token to push with is asked for as one" {
	evil_start
	ok ctr images push "$EVIL/bearer/busybox:1" "$(pulled busybox)"
	(($(evil_seen 'GET /token/bearer\?service=coffer-test&scope=repository%3Abearer%2Fbusybox%3Apull%2Cpush') == 1)) ||
	    fail "$(curl -s "http://$EVIL/seen")"
	evil_stop
}

@test "a registry that sends the upload elsewhere, one that takes it for another" {
	evil_start
	MAY_PRINT=1 refused 1 'where to upload' ctr images push "$EVIL/pushaway/busybox:1" "$(pulled busybox)"
	MAY_PRINT=1 refused 1 'another one.*sha256:0000' ctr images push "$EVIL/pushother/busybox:1" "$(pulled busybox)"
	evil_stop
	registry_ca "$T"
	evil_start --tls "$T/server.pem" "$T/server.key"
	ok ctr images push --skip-verify "$EVIL/pushhttp/busybox:1" "$(pulled busybox)"
	evil_stop
}

@test "Debian's registry knows of no broken upload: it starts over" {
	local ref
	ref=$(pulled big)
	registry_start fresh "$T/fresh"
	REGISTRY_PUSH_PORT=$REGISTRY_FRESH_PORT link_start --cut 9000000 --times 3
	ok ctr images push --max-uploads 1 "$LINK/cut/big:1" "$ref"
	same "$ref" "127.0.0.1:$REGISTRY_FRESH_PORT/cut/big:1"
	(($(grep -c '"POST .*" 202' "$REGISTRY_FRESH_LOG") >= 6 + 3)) || fail "nothing broke"
	link_stop
	registry_stop fresh
}

@test "content killed in the middle: the push is done all the same" {
	local ref pid
	ref=$(pulled big)
	registry_start fresh "$T/fresh2"
	REGISTRY_PUSH_PORT=$REGISTRY_FRESH_PORT link_start --rate 20000000
	ctr images push "$LINK/kill/big:1" "$ref" >"$T/push.out" 2>&1 3>&- &
	pid=$!
	wait_until 10 grep -q 'http.request.method=POST' "$REGISTRY_FRESH_LOG"
	kill_worker content
	wait "$pid" || fail "$(<"$T/push.out")"
	same "$ref" "127.0.0.1:$REGISTRY_FRESH_PORT/kill/big:1"
	link_stop
	registry_stop fresh
}

@test "given up with Ctrl-C: ends at once, nothing has the name" {
	local ref start
	ref=$(pulled big)
	link_start --rate 500000
	start=$(now_ms)
	run on_terminal 'expect:uploading' 'send:\x03' -- "$COFFER_BUILD/ctr" images push "$LINK/never/big:1" "$(pulled config)"
	assert_status 130
	(($(now_ms) - start < 8000))
	run ! skopeo inspect --raw --tls-verify=false "docker://$P/never/big:1"
	link_stop
}

@test "logins: none, a wrong one, --user, config.json, a helper; a reader may not write" {
	local ref r
	ref=$(pulled config)
	registry_start auth "$T/auth" auth
	r=127.0.0.1:$REGISTRY_AUTH_PORT
	MAY_PRINT=1 refused 1 'write.*login|login.*write' ctr images push "$r/a/config:1" "$ref"
	MAY_PRINT=1 refused 1 'user.*write|check --user' ctr images push --user coffer:wrong "$r/a/config:1" "$ref"
	ok ctr images push --user coffer:secret "$r/a/config:1" "$ref"
	mkdir -p "$T/docker" "$T/bin"
	jq -n --arg r "$r" '{auths: {("https://" + $r + "/v1/"): {auth: "Y29mZmVyOnNlY3JldA=="}}}' >"$T/docker/config.json"
	DOCKER_CONFIG=$T/docker ok ctr images push "$r/a/config:2" "$ref"
	# shellcheck disable=SC2016
	printf '#!/bin/sh\n[ "$1" = get ] || exit 1\nread -r server || [ -n "$server" ]\n%s\n' \
	    'case $server in '"$r"') echo "{\"ServerURL\":\"$server\",\"Username\":\"coffer\",\"Secret\":\"secret\"}" ;; *) echo "credentials not found in native keychain"; exit 1 ;; esac' \
	    >"$T/bin/docker-credential-test"
	chmod 755 "$T/bin/docker-credential-test"
	jq -n --arg r "$r" '{credHelpers: {($r): "test"}}' >"$T/docker/config.json"
	PATH=$T/bin:$PATH DOCKER_CONFIG=$T/docker ok ctr images push "$r/a/config:3" "$ref"
	echo '{"credsStore": "test"}' >"$T/docker/config.json"
	PATH=$T/bin:$PATH DOCKER_CONFIG=$T/docker ok ctr images pull "$r/a/config:3"
	PATH=$T/bin:$PATH DOCKER_CONFIG=$T/docker ok ctr images push "$P/anonymous/config:3" "$ref"
	printf '#!/bin/sh\nexec <&-\nsleep 0.1\necho no luck\nexit 3\n' >"$T/bin/docker-credential-rude"
	printf '#!/bin/sh\nexec yes\n' >"$T/bin/docker-credential-endless"
	chmod 755 "$T/bin"/docker-credential-*
	echo '{"credsStore": "rude"}' >"$T/docker/config.json"
	PATH=$T/bin:$PATH DOCKER_CONFIG=$T/docker refused 1 'docker-credential-rude: no luck' ctr images pull "$r/a/config:3"
	echo '{"credsStore": "endless"}' >"$T/docker/config.json"
	PATH=$T/bin:$PATH DOCKER_CONFIG=$T/docker refused 1 'docker-credential-endless.*larger than' ctr images pull "$r/a/config:3"
	echo '{"credsStore": "gone"}' >"$T/docker/config.json"
	DOCKER_CONFIG=$T/docker refused 1 'docker-credential-gone' ctr images pull "$r/a/config:3"
	echo '{"auths": {' >"$T/docker/config.json"
	DOCKER_CONFIG=$T/docker refused 2 'config.json.*not JSON' ctr images pull "$r/a/config:3"
	run ! grep -rE 'secret|Y29mZmVy' "$T/cofferd.log" "$ROOT"/content/db "$ROOT"/events/db
	registry_stop auth
}

@test "tokens: what nobody, a user and an identity may do; to push, and to take blobs over from a repository" {
	local ref r
	ref=$(pulled nginx)
	token_server_start "$T/tokens"
	registry_start tokens "$T/tokens" token
	r=127.0.0.1:$REGISTRY_TOKENS_PORT
	MAY_PRINT=1 refused 1 'login' ctr images push "$r/public/nginx:1" "$ref"
	MAY_PRINT=1 refused 1 'does not accept' ctr images push --user coffer:wrong "$r/public/nginx:1" "$ref"
	ok ctr images push --user coffer:secret "$r/public/nginx:1" "$ref"
	ok ctr images pull "$r/public/nginx:1"
	ok ctr images push --user coffer:secret --format json "$r/private/nginx:1" "$ref"
	[[ $(jq -s '[.[] | select(.state == "mounted")] | length' <<<"$output") == 4 ]] || fail "$output"
	grep -qx 'GET coffer repository:private/nginx:pull,push repository:public/nginx:pull' "$T/tokens/token.log" || fail "$(<"$T/tokens/token.log")"
	refused 1 'login' ctr images pull "$r/private/nginx:1"
	ok ctr images pull --user coffer:secret "$r/private/nginx:1"
	same "$ref" "$r/public/nginx:1"
	mkdir -p "$T/docker"
	jq -n --arg r "$r" '{auths: {($r): {identitytoken: "identity-secret"}}}' >"$T/docker/config.json"
	DOCKER_CONFIG=$T/docker ok ctr images push "$r/private/again:1" "$ref"
	grep -q '^POST coffer repository:private/again:pull,push' "$T/tokens/token.log"
	registry_stop tokens
	token_server_stop "$T/tokens"
}
