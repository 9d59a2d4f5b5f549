#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-unpack - what one layer may take (bytes, entries, memory), and that nothing of it counts before it is on disk.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[snapshot]\nmax-layer-bytes = 300000000\nmax-layer-entries = 5000\n' >"$T/config.toml"
	coffer_start
}
teardown_file() { harness_down; }

# image_of NAME KIND:TAR...: a layout $T/NAME with that image
image_of()
{
	"$harness_lib/oci-image" image "$T/$1" "$1" --config '{"Cmd":["sh"]}' "${@:2}"
}

# too_much NAME REGEX [OPTION...]: importing it is refused, soon, and nothing of it stays; no child had more than 24 MB
too_much()
{
	local start
	start=$(now_ms)
	: >"$T/running"
	child_memory 0.02 >"$T/memory" 3>&- &
	refused 1 "$2" ctr images import "${@:3}" --index-name "$1:1" "$T/$1"
	rm "$T/running"
	wait $!
	echo "# $1: $(($(now_ms) - start)) ms, most memory $(<"$T/memory") kB" >&3
	(($(<"$T/memory") < 24000)) || fail "$(<"$T/memory") kB of memory"
	tidy
}
works() { ctr plugins list --format json | jq -r '.[] | select(.works) | .name'; }
tidy()
{
	wait_until 30 nothing_made
	[[ -z $(ctr snapshots list -q) ]] || fail "snapshots: $(ctr snapshots list)"
}
nothing_made() { [[ -z $(find "$ROOT/snapshot/new" "$ROOT/snapshot/trash" -mindepth 1) ]]; }

# zeros FILE GIGABYTES [TAR]: a zstd stream of TAR, and then so many zeros in blocks of 128 KiB that are four bytes long
zeros()
{
	python3 - "$@" <<-'END'
		import sys
		def frame(blocks):
		    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)  # a window of 2 MiB, no size
		def block(kind, size, data, last=0):
		    return (last | kind << 1 | size << 3).to_bytes(3, "little") + data
		head = open(sys.argv[3], "rb").read() if len(sys.argv) > 3 else b""
		n = int(float(sys.argv[2]) * 1e9 / 131072)
		with open(sys.argv[1], "wb") as f:
		    f.write(frame([block(0, len(head), head)] + [block(1, 131072, b"\0")] * n + [block(0, 0, b"", 1)]))
	END
}

@test "a bomb of 3 MB that is 100 GB of zeros behind the end of the archive: stopped at the limit" {
	zeros "$T/bomb.tar" 100
	image_of bomb "none:$T/bomb.tar"
	(($(stat -c %s "$T/bomb.tar") < 4000000))
	too_much bomb 'more than 300000000 bytes when unpacked'
}

@test "a bomb that is one file of 100 GB" {
	# The head of a tar of one sparse file that says so, without its body.
	python3 - "$T/head" <<-'END'
		import sys, tarfile
		t = tarfile.TarInfo("bomb")
		t.size = 100 * 10**9
		open(sys.argv[1], "wb").write(t.tobuf(tarfile.GNU_FORMAT))
	END
	zeros "$T/file.tar" 100 "$T/head"
	image_of file "none:$T/file.tar"
	too_much file 'archive entry "bomb": more than 300000000 bytes in this layer'
}

@test "a bomb of gzip, a thousand to one" {
	head -c 320000000 /dev/zero | gzip -1 >"$T/gzip.tar"
	image_of gzip "none:$T/gzip.tar"
	too_much gzip 'more than 300000000 bytes when unpacked'
}

@test "more entries than the limit: stopped there" {
	local name
	python3 - "$T/many.tar" <<-'END'
		import sys, tarfile
		with open(sys.argv[1], "wb") as f:
		    for i in range(10000):
		        f.write(tarfile.TarInfo(f"d{i % 100}/{i}").tobuf(tarfile.USTAR_FORMAT))
		    f.write(bytes(1024))
	END
	image_of many "gzip:$T/many.tar"
	for name in $(works); do
		too_much many 'more than 5000 entries' --snapshotter "$name"
	done
}

@test "a zstd window of 2 GB is refused, one of 128 MB is taken" {
	mkdir -p "$T/w" && echo text >"$T/w/file"
	images_tar "$T/w" "$T/w.tar"
	zstd -q --ultra --long=31 -c <"$T/w.tar" >"$T/wide.tar"
	image_of wide "none:$T/wide.tar"
	too_much wide 'zstd: .*requires too much memory'
	zstd -q --long=27 -c <"$T/w.tar" >"$T/taken.tar"
	image_of taken "none:$T/taken.tar"
	# Its diff id is that of what is packed: unpacking goes well to its end, and is refused then.
	too_much taken 'what is in it has digest'
}

@test "each layer is on disk before it gets its place: by one syncfs, or by one sync of its image" {
	local name
	images_make "$T/images" tiny1
	for name in $(works); do
		[[ $name != native ]] || continue # sealed with the tree that it makes
		traced_import "$name"
		placed_behind "$T/trace" "$(worker_pid snapshot)" || { cat "$T/trace" >&2; false; }
		# The check can fail: without the syncs of the trace it does.
		grep -vE 'syncfs|fdatasync' "$T/trace" >"$T/unsynced"
		! placed_behind "$T/unsynced" "$(worker_pid snapshot)" || fail "the check does not check"
	done
}
# traced_import SNAPSHOTTER: three layers, the syncs and renames of it in $T/trace
traced_import()
{
	local strace
	strace -f -o "$T/trace" -e trace=syncfs,fsync,fdatasync,renameat2 \
	    -p "$(worker_pid snapshot)" -p "$(pgrep -x coffer-nursery)" 2>"$T/strace.log" 3>&- &
	strace=$!
	wait_until 10 both_attached
	ok ctr images import --snapshotter "$1" --index-name "$1:1" "$T/images"
	kill -INT "$strace"
	wait "$strace" || true
}
both_attached()
{
	grep -q "$(worker_pid snapshot) attached" "$T/strace.log" &&
	    grep -q "$(pgrep -x coffer-nursery) attached" "$T/strace.log"
}
# placed_behind TRACE WORKER: the worker renames a layer to its place only when as many were synced whole, with one
# call each (syncfs of the filesystem or fdatasync of an image), by children
placed_behind()
{
	awk -v worker="$2" '
		/(syncfs|fdatasync)(\(| resumed).*= 0/ && $1 != worker { synced++ }
		/renameat2(\(| resumed).*= 0/ && $1 == worker { if (++placed > synced) bad = 1 }
		END { exit !(synced == 3 && placed == 3 && !bad) }' "$1"
}
