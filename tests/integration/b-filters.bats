#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-filters - containerd's filter language behind every list.

load ../lib/harness.bash

setup_file()
{
	harness_up || return 1
	ctr images pull --label keep=yes --label 'io.example/team=a,b' "$REG/coffer/busybox:latest" >/dev/null &&
	    ctr images tag "$REG/coffer/busybox:latest" quay.io/other/name:1 >/dev/null &&
	    ctr images pull "$REG/coffer/config:latest" >/dev/null &&
	    ctr containers create --label team=web "$REG/coffer/busybox:latest" bf-web >/dev/null &&
	    ctr containers create "$REG/coffer/config:latest" bf-config >/dev/null
}
teardown_file() { harness_down; }
KEEP='bf-web bf-config'
export KEEP

@test "images: by name, by pattern, by label, by what they point at" {
	ok ctr images list -q "name==$REG/coffer/config:latest"
	assert_is "$REG/coffer/config:latest"
	ok ctr images list -q 'name~=^quay\.io/'
	assert_is quay.io/other/name:1
	ok ctr images list -q "labels.\"io.example/team\"==\"a,b\",name~=|/coffer/|"
	assert_is "$REG/coffer/busybox:latest"
	ok ctr images list -q "target.digest==$(ctr images list --format json |
	    jq -r '.[] | select(.name | endswith("config:latest")) | .target.digest')"
	assert_is "$REG/coffer/config:latest"
	ok ctr images list -q 'labels.keep!=yes,name!=x'
	assert_is "$REG/coffer/config:latest"
}

@test "several filters: one of them is enough; none that fits is an empty list" {
	ok ctr images list -q name~=config: 'name~=^quay'
	assert_is "$REG/coffer/config:latest
quay.io/other/name:1"
	ok ctr images list -q name==nothing
	assert_is ""
	ok ctr images list --format json name==nothing
	assert_is "[]"
}

@test "content, snapshots, containers" {
	local digest
	digest=$(ctr content list -q | head -n 1)
	ok ctr content list -q "digest==$digest"
	assert_is "$digest"
	ok ctr snapshots list -q kind==active
	assert_match '^bf-web$'
	assert_hasnt sha256
	ok ctr snapshots list -q 'name~=^sha256,parent'
	assert_hasnt bf-
	ok ctr containers list -q labels.team==web
	assert_is bf-web
	ok ctr containers list -q image~=config: runtime.name==none
	assert_is bf-config
}

@test "what is wrong is said with its place; nothing dies of it" {
	local before
	before=$(workers_now)
	refused 2 'at byte 5: ==, != or ~= is expected' ctr images list name=x
	refused 2 'image has no field "nmae".*there are name, target' ctr images list nmae==x
	refused 2 'no field "digset"' ctr content list digset==x
	refused 2 'no field' ctr containers list status==running
	refused 2 'no field' ctr snapshots list x
	refused 2 'the pattern is wrong' ctr images list 'name~=('
	refused 2 'not known' ctr images list 'name~=(a)\1'
	refused 2 'too large' ctr images list 'name~=|((a{0,255}){0,255}){0,255}|'
	refused 2 'at most 4096' ctr images list "name==$(printf 'x%.0s' {1..10240})"
	refused 2 'UTF-8' ctr images list $'name==\xff'
	refused 2 'filter' ctr images list $'\e[31m'
	[[ $stderr != *$'\e'* ]]
	[[ $(workers_now) == "$before" ]]
}
