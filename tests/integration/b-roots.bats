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

# --- what nobody owns ---------------------------------------------------------------------------------

rooted() { grep -qF " $STATE/bundles/default/$1/" /proc/self/mountinfo; }
unrooted() { ! rooted "$1"; }

# kill_shims: and what they ran
kill_shims()
{
	local pid

	for pid in $(shims) $(running busybox); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	wait_until 10 no_shims
}

@test "a shim is killed: its container's root goes" {
	local image maps

	image=$(pulled deep)
	for maps in '' '--uidmap=0:100000:65536'; do
		ok ctr run -d ${maps:+"$maps"} "$image" bo-shim sleep 1000
		rooted bo-shim
		kill_shims
		wait_until 10 unrooted bo-shim
		wait_until 10 is_status bo-shim stopped
		ok ctr containers delete bo-shim
		nothing_left bo-shim
	done
}

@test "shims, workers and the supervisor are killed at once: the next start undoes the roots of the dead" {
	local image=$REG/coffer/deep:latest pid

	ok ctr run -d --uidmap 0:100000:65536 "$image" bo-all sleep 1000
	ok ctr run -d "$image" bo-too sleep 1000
	coffer_stop KILL
	kill_shims
	rooted bo-all && rooted bo-too
	# As one killed while it makes a root of mapped owners leaves it: its layers, one on the other.
	for _ in {1..130}; do
		mount --bind "$T" "$STATE/bundles/default/bo-all/rootfs"
	done
	coffer_start
	wait_until 10 unrooted bo-all && wait_until 10 unrooted bo-too
	wait_until 10 is_status bo-all stopped
	ok ctr containers delete bo-all bo-too
	nothing_left bo-
}

@test "a container that runs on while all of the daemon is killed keeps its root" {
	local image=$REG/coffer/deep:latest

	ok ctr run -d --uidmap 0:100000:65536 "$image" bo-on sleep 1000
	coffer_stop KILL
	rooted bo-on
	coffer_start
	ok ctr containers exec bo-on cat /deep/top
	assert_is 128
	ok ctr containers delete --force bo-on
	nothing_left bo-on
}

# --- removal ------------------------------------------------------------------------------------------

trash_empty() { [[ -z $(ls -A "$ROOT/snapshot/trash") ]]; }
many_left() { (($(find "$ROOT/snapshot/trash" | head -n 1001 | wc -l) > 1000)); }

# many_names FOLDER: 100,000 of them, of few files, as a disk may take minutes for so many files
many_names()
{
	/usr/bin/python3 - "$1" <<-'END'
		import os, sys
		for d in range(100):
		    os.makedirs(f"{sys.argv[1]}/{d}")
		    open(f"{sys.argv[1]}/{d}/0", "w").close()
		    for n in range(1, 1000):
		        os.link(f"{sys.argv[1]}/{d}/0", f"{sys.argv[1]}/{d}/{n}")
	END
}

@test "removing 100,000 names answers at once, is done behind, and goes on after a kill" {
	local image start took slowest=0

	image=$(pulled deep)
	ok ctr containers create "$image" bo-many true
	many_names "$(ctr snapshots mounts /x bo-many | sed -n 's/.*upperdir=\([^, ]*\).*/\1/p')/many"
	start=$(now_ms)
	ok ctr containers delete bo-many
	took=$(($(now_ms) - start))
	((took < 2000)) || fail "the answer took $took ms"
	many_left || fail "the trash was empty before the worker was killed"
	kill_worker snapshot
	# Others are served meanwhile.
	while ! trash_empty; do
		start=$(now_ms)
		ok ctr snapshots list
		took=$(($(now_ms) - start))
		((took <= slowest)) || slowest=$took
	done
	((slowest < 2000)) || fail "a list took $slowest ms"
	nothing_left bo-many
}
