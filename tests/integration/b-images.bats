#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-images - every form of image that pulls, and what is then there: names, sizes, content, layers.

load ../lib/harness.bash

setup_file() { harness_up; }
teardown_file() { harness_down; }

@test "pull says what it does and ends with the image; again there is nothing to do" {
	ok ctr images pull "$REG/coffer/busybox:latest"
	assert_match "sha256:[0-9a-f]{12}"
	ok ctr images pull "$REG/coffer/busybox:latest"
	run grep -c 'GET /v2/coffer/busybox/blobs' "$REGISTRY_MAIN_LOG"
	((output <= 2 * 10)) || fail "$output downloads"
}

@test "image list: name, digest, size that a person can read, platform" {
	ok ctr images list
	assert_match "$REG/coffer/busybox:latest +.*sha256:[0-9a-f]{12,64} .*[0-9.]+ [KM]iB +.*linux/amd64|$REG/coffer/busybox:latest"
	ok ctr images list --format json
	jq -e '.[0].target.digest | test("^sha256:[0-9a-f]{64}$")' <<<"$output" >/dev/null
	jq -e '.[0].size > 100000' <<<"$output" >/dev/null
	ok ctr i ls -q
	assert_is "$REG/coffer/busybox:latest"
}

@test "an image can be named by tag, by digest, and by both" {
	local digest
	digest=$(ctr images list --format json | jq -r '.[0].target.digest')
	ok ctr images pull "$REG/coffer/busybox@$digest"
	ok ctr run --rm "$REG/coffer/busybox@$digest" bi-digest echo by-digest
	assert_is by-digest
	ok ctr images remove "$REG/coffer/busybox@$digest"
}

@test "no tag means latest" {
	ok ctr images pull "$REG/coffer/config"
	ok ctr images list -q
	assert_match "^$REG/coffer/config:latest$"
}

@test "layers: whiteouts, opaque folders, links, modes and attributes come out right" {
	local ref
	ref=$(pulled layers)
	ok ctr run --rm "$ref" bi-layers sh -c 'cd /data && find . | sort'
	assert_is "$(printf '%s\n' . ./back ./dir ./dir-to-file ./dir/kept ./file-to-dir \
	    ./file-to-dir/inside ./gone ./gone/again ./hardlink ./kept './name with spaces and ümlaut' \
	    ./opaque ./opaque/new ./replaced ./setuid ./symlink ./xattr | LC_ALL=C sort)"
	ok ctr run --rm "$ref" bi-layers sh -c 'cd /data && cat back replaced gone/again dir-to-file \
	    symlink && stat -c "%h %a" hardlink setuid && readlink symlink'
	assert_is "$(printf '%s\n' three two four three one "2 644" "1 4755" dir/kept)"
	nothing_left bi-layers
}

@test "layers: every one is a snapshot, on its parent" {
	ok ctr snapshots list
	assert_match 'sha256:[0-9a-f]+ +.*sha256:[0-9a-f]+ +.*[Cc]ommitted'
	[[ $(ctr snapshots list --format json | jq '[.[] | select(.kind == "committed")] | length') -ge 5 ]]
}

@test "zstd and uncompressed layers" {
	ok ctr run --rm "$(pulled zstd)" bi-zstd cat /etc/message
	assert_is "from a zstd layer"
}

@test "an index gives the manifest of this host's platform" {
	ok ctr run --rm "$(pulled multi)" bi-multi
	assert_match '^linux/(amd64|arm64/v8)$'
}

@test "another platform when asked for" {
	ok ctr images pull --platform linux/s390x "$REG/coffer/foreign:latest"
	ok ctr images remove "$REG/coffer/foreign:latest"
}

@test "Docker's media types" {
	ok ctr run --rm "$(pulled docker)" bi-docker echo docker
	assert_is docker
}

@test "a large image of several layers" {
	ok ctr run --rm "$(pulled big)" bi-big sh -c 'sha256sum /big-*' 
	[[ $(wc -l <<<"$output") == 4 ]]
	assert_match "$(openssl enc -aes-128-ctr -K 00000000000000000000000000000003 -iv 0 -in /dev/zero \
	    2>/dev/null | head -c $((12 * 1024 * 1024)) | sha256sum | cut -c 1-64)  /big-3"
}

@test "tag gives a further name; the image lives until its last name is gone" {
	local ref
	ref=$(pulled config)
	ok ctr images tag "$ref" example.com/mine:v1
	ok ctr images remove "$ref"
	ok ctr run --rm example.com/mine:v1 bi-tag
	assert_has 'user: 1234:1235'
	ok ctr images remove example.com/mine:v1
	refused 125 'example.com' ctr run --rm example.com/mine:v1 bi-tag
}

@test "remove takes blobs and layers that nothing else needs, and only those" {
	local before after
	pulled busybox >/dev/null
	before=$(ctr content list -q | sort)
	pulled nginx >/dev/null
	ok ctr images rm "$REG/coffer/nginx:latest"
	after=$(ctr content list -q | sort)
	[[ $before == "$after" ]] || fail "before: $before" "after: $after"
	ok ctr run --rm "$REG/coffer/busybox:latest" bi-still echo still
	assert_is still
}

@test "pulls at the same time share their downloads" {
	local i p pids=() n before
	ctr images rm "$REG/coffer/big:latest" >/dev/null 2>&1 || true
	before=$(registry_gets big)
	for i in 1 2 3 4; do
		ctr images pull "$REG/coffer/big:latest" >"$T/pull.$i" 2>&1 &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p" || fail "$(cat "$T"/pull.*)"
	done
	n=$(($(registry_gets big) - before))
	((n > 0 && n <= 6)) || fail "$n downloads of six blobs"
}
registry_gets() { grep -c "\"GET /v2/coffer/$1/blobs/" "$REGISTRY_MAIN_LOG" || true; }

@test "content list: digest, size, age" {
	ok ctr content list
	assert_match '^sha256:[0-9a-f]{64} +.*[0-9.]+ ([KM]i)?B'
	ok ctr content ls -q
	assert_match '^sha256:[0-9a-f]{64}$'
}

@test "blobs on disk are what their names say" {
	local f
	ok ctr gc
	for f in "$ROOT"/content/blobs/sha256/*; do
		[[ $(sha256sum "$f" | cut -d ' ' -f 1) == "${f##*/}" ]] || fail "$f"
	done
}

@test "namespaces are apart" {
	ok ctr --namespace other images list -q
	assert_is ""
	ok ctr -n other images pull "$REG/coffer/busybox:latest"
	ok ctr -n other run --rm "$REG/coffer/busybox:latest" bi-ns echo other
	assert_is other
	ok ctr namespaces list
	assert_match '^default'
	assert_match '^other'
	ok ctr -n other images remove "$REG/coffer/busybox:latest"
	ok ctr run --rm "$REG/coffer/busybox:latest" bi-ns echo default
	assert_is default
}

@test "everything can be removed; nothing is left on disk" {
	local ref
	for ref in $(ctr images list -q); do
		ok ctr images remove "$ref"
	done
	ok ctr content list -q
	assert_is ""
	wait_until 10 disk_empty
	nothing_left
}
disk_empty()
{
	[[ -z $(find "$ROOT/content/blobs/sha256" "$ROOT"/snapshot/{erofs,overlay,native} -mindepth 1) ]]
}
