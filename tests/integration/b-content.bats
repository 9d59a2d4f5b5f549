#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-content - the content store: blobs and ingests, images put together by clients, leases.

load ../lib/harness.bash

setup_file() { harness_up; }
teardown_file() { harness_down; }

store() { timeout -k 2 120 /usr/bin/python3 "$BATS_TEST_DIRNAME/store.py" "$STATE" "$@" 3>&-; }

@test "bus: an ingest, piece by piece, becomes a blob" { ok store ingest; }
@test "bus: an ingest outlives its worker" { ok store resume; }
@test "bus: blobs and their labels" { ok store blobs; }
@test "bus: images put together by a client" { ok store images; }
@test "bus: leases" { ok store leases; }
@test "bus: garbage collection, rule by rule" { ok store collect; }
@test "bus: what ends by itself is collected by a daemon at rest" { ok store expire; }
@test "bus: collections beside clients take nothing from them" { ok store beside; }

# --- ctr --------------------------------------------------------------------------------------------

digest_of() { printf 'sha256:%s\n' "$(sha256sum "$1" | cut -c 1-64)"; }
blob_file() { echo "$ROOT/content/blobs/sha256/${1#sha256:}"; }

@test "content ingest, get: stdin in, stdout or a file out" {
	local d
	head -c 3000000 /dev/urandom >"$T/data"
	d=$(digest_of "$T/data")
	ok ctr content ingest --label containerd.io/gc.root=1 --expected-size 3000000 --expected-digest "$d" one <"$T/data"
	assert_is "$d"
	ctr content get "$d" | cmp - "$T/data"
	cmp <(ctr content get --offset 1000 --size 70k "$d") <(tail -c +1001 "$T/data" | head -c 71680)
	ok ctr content get -o "$T/out" "$d"
	cmp "$T/out" "$T/data"
	refused 1 'not in namespace' ctr content get -o "$T/none" "sha256:$(printf '%064d' 0)"
	[[ ! -e $T/none && ! -e $T/none.partial ]]
	# Again: nothing to do, and nothing is left on its way.
	ok ctr content ingest --expected-digest "$d" two <"$T/data"
	ok ctr content active -q
	assert_is ""
	refused 1 'not what it should be' ctr content ingest --expected-digest "sha256:$(printf '%064d' 0)" bad <"$T/data"
	refused 1 '3000000 bytes, not the 5' ctr content ingest --expected-size 5 size <"$T/data"
	ok ctr content abort bad size
}

@test "content ingest goes on where it was interrupted" {
	local pid
	head -c 4000000 /dev/urandom >"$T/long"
	mkfifo "$T/fifo"
	"$COFFER_BUILD/ctr" content ingest cut <"$T/fifo" >"$T/cut" 2>&1 3>&- &
	pid=$!
	exec 7>"$T/fifo"
	head -c 2500000 "$T/long" >&7
	wait_until 10 on_its_way cut
	ok ctr content active
	assert_match '^cut +2.0 MiB'
	kill -TERM "$pid" # INT is ignored by what a script starts in the background
	wait "$pid" || true
	exec 7>&-
	kill_worker content
	ok ctr content ingest --expected-digest "$(digest_of "$T/long")" cut <"$T/long"
	refused 1 'no ingest' ctr content abort cut
}
on_its_way() { [[ $(ctr content active --format json | jq ".[] | select(.ref == \"$1\") | .offset") == 2097152 ]]; }

@test "content label, edit, delete" {
	local d e
	d=$(echo '{"a": 1}' | ctr content ingest --label containerd.io/gc.root=1 doc)
	ok ctr content label "$d" color=blue
	assert_match '^color=blue$'
	ok ctr content label "$d" color=
	assert_hasnt color
	e=$(ctr content edit --editor 'sed -i s/1/2/' "$d")
	[[ $(ctr content get "$e") == '{"a": 2}' ]]
	[[ $(ctr content get "$d") == '{"a": 1}' ]]
	refused 130 'nothing was changed' ctr content edit --editor false "$d"
	ok ctr content delete "$d"
	refused 1 'not in namespace' ctr content delete "$d"
	[[ ! -e $(blob_file "$d") ]]
	refused 2 '' ctr content delete ../../etc/passwd
}

@test "content verify: a damaged blob is named, set aside, and pulled again" {
	local ref layer f
	ref=$(pulled layers)
	ok ctr content verify
	assert_match '^[0-9]+ blobs, .*: 0 damaged$'
	layer=$(ctr content list --format json |
	    jq -r '[.[].labels // {} | .["containerd.io/gc.ref.content.l.0"] // empty][0]')
	f=$(blob_file "$layer")
	chmod 640 "$f"
	printf x | dd of="$f" bs=1 seek=100 conv=notrunc status=none
	run --separate-stderr ctr content verify
	[[ $status == 1 ]]
	assert_match ': 1 damaged$'
	[[ $stderr == *"$layer is damaged"* ]] || fail "$stderr"
	[[ ! -e $f && -e $ROOT/content/damaged/${layer#sha256:} ]]
	refused 1 'not in namespace' ctr content verify "$layer"
	ok ctr images pull "$ref"
	ok ctr content verify "$layer"
	assert_match '^1 blobs, .*: 0 damaged$'
	# One that was cut short, too.
	f=$(blob_file "$(ctr images list --format json | jq -r '.[0].target.digest')")
	chmod 640 "$f"
	truncate -s 10 "$f"
	run --separate-stderr ctr content verify
	[[ $status == 1 && $stderr == *'10 bytes instead of'* ]] || fail "$stderr"
	# What it referred to waits for the next pull.
	ok ctr gc
	ok ctr images pull "$ref"
	assert_hasnt downloading
	ok ctr content verify
}

@test "leases: what they hold stays, then it goes" {
	local d f l
	ok ctr leases create --id mine -x 1h owner=me
	assert_is mine
	l=$(ctr leases create --flat)
	ok ctr leases list
	assert_match '^mine .*containerd.io/gc.expire=20.*owner=me|^mine .*owner=me.*containerd.io/gc.expire=20'
	assert_match "^$l .*gc.flat"
	ok ctr leases ls -q 'labels.owner==me'
	assert_is mine
	d=$(echo leased | ctr content ingest --lease mine leased)
	f=$(echo flat | ctr content ingest --lease "$l" flat)
	ok ctr leases resources mine
	assert_is "$(printf 'content/%s\n' "$d")"
	ok ctr gc
	ok ctr content get "$d"
	ok ctr content get "$f"
	ok ctr leases remove mine "content/$d"
	ok ctr gc
	assert_match '^1 blob removed'
	refused 1 'not in namespace' ctr content get "$d"
	ok ctr leases delete --sync "$l"
	refused 1 'not in namespace' ctr content get "$f"
	refused 2 'is wanted' ctr leases add mine cats
	ok ctr leases delete mine
	refused 1 'no lease' ctr leases delete mine
}

@test "namespaces: labels; removed when empty, or by force, never with containers" {
	ok ctr namespaces create team a=b
	ok ctr namespaces label team owner=me a=
	assert_is owner=me
	ok ctr -n team images pull "$REG/coffer/busybox:latest"
	echo leased | ctr -n team content ingest --label containerd.io/gc.root=1 blob
	refused 1 'still has 1 image, 4 blobs, 1 snapshot: remove them first' ctr namespaces remove team
	ok ctr -n team containers create "$REG/coffer/busybox:latest" nc
	refused 1 'still has containers .nc.' ctr namespaces remove --force team
	ok ctr -n team containers delete nc
	ok ctr namespaces remove --force team
	ok ctr namespaces list -q
	assert_hasnt team
	ok ctr -n team snapshots list -q
	assert_is ""
	ok ctr run --rm "$(pulled busybox)" ns-still echo still
	assert_is still
	nothing_left ns-still
}

@test "a full disk: an ingest says so, is not lost, and goes on when there is room" {
	local d
	head -c 3000000 /dev/urandom >"$T/large"
	d=$(digest_of "$T/large")
	mkdir -p "$T/was"
	coffer_stop
	cp -a "$ROOT/content/." "$T/was"
	mount -t tmpfs -o size=6m,mode=750 tmpfs "$ROOT/content"
	chown 64741:64741 "$ROOT/content"
	coffer_start
	head -c 3500000 /dev/zero >"$ROOT/content/filler"
	refused 1 'No space left' ctr content ingest --label containerd.io/gc.root=1 full <"$T/large"
	ok ctr content verify
	ok ctr gc
	rm "$ROOT/content/filler"
	ok ctr content ingest --label containerd.io/gc.root=1 --expected-digest "$d" full <"$T/large"
	ok ctr content verify
	assert_match '^1 blobs.*: 0 damaged'
	coffer_stop
	umount "$ROOT/content"
	coffer_start
}
