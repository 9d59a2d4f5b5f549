#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-roots - the roots of containers: of many layers, in a folder with a long name, and what is left of them.

load ../lib/harness.bash

setup_file()
{
	local name

	harness_up bare
	# 128 names of layers below this one fill eight pages of mount options.
	name=$(printf 'a-long-name-%.0s' {1..18})
	ROOT=$T/$name/root
	export ROOT
	mkdir -p "$ROOT"
	chmod 711 "$T/$name"
	images_make "$T/images" deep
	registry_start main "$T/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	images_push_tag deep
	coffer_start
}
teardown_file() { harness_down; }

images_push_tag()
{
	images_copy "oci:$T/images:$1" "docker://$REG/coffer/$1:latest"
}

@test "an image of 128 layers: pulled, run, every layer is there and nothing that was taken away" {
	local deep

	deep=$(pulled deep)
	ok ctr run --rm "$deep" bo-deep sh -c 'cat /deep/top; echo /deep/own-* | wc -w; echo /deep/short-*
	    for n in $(seq 2 128); do [ "$(cat /deep/own-$n)" = $n ] || echo "missing: $n"; done
	    echo written >/deep/top && cat /deep/top'
	assert_is "$(printf '128\n127\n/deep/short-128\nwritten')"
	nothing_left bo-deep
}

@test "the same image as a folder" {
	local deep=$REG/coffer/deep:latest

	mkdir -p "$T/folder"
	ok ctr images mount "$deep" "$T/folder"
	[[ $(<"$T/folder/deep/top") == 128 && -e $T/folder/deep/own-2 && ! -e $T/folder/deep/short-2 ]]
	ok ctr images unmount "$T/folder"
	[[ ! -e $T/folder/deep ]]
}
