#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-unpack - what one layer may take (bytes, entries, memory), and that nothing of it counts before it is on disk.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[snapshot]\nmax-layer-bytes = 500000000\nmax-layer-entries = 20000\n' >"$T/config.toml"
	coffer_start
}
teardown_file() { harness_down; }

# image_of NAME KIND:TAR...: a layout $T/NAME with that image
image_of()
{
	"$harness_lib/oci-image" image "$T/$1" "$1" --config '{"Cmd":["sh"]}' "${@:2}"
}

# child_memory: the largest peak of a child that unpacks, kB, for as long as $T/running is there
child_memory()
{
	local most=0 now pid
	while [[ -e $T/running ]]; do
		for pid in $(pgrep -x coffer-unpack); do
			now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || true
			((${now:-0} <= most)) || most=$now
		done
		sleep 0.02
	done
	echo "$most"
}
# too_much NAME REGEX: importing it is refused, soon, and nothing of it stays; no child had more than 24 MB
too_much()
{
	local start
	start=$(now_ms)
	: >"$T/running"
	child_memory >"$T/memory" 3>&- &
	refused 1 "$2" ctr images import --index-name "$1:1" "$T/$1"
	rm "$T/running"
	wait $!
	echo "# $1: $(($(now_ms) - start)) ms, most memory $(<"$T/memory") kB" >&3
	(($(<"$T/memory") < 24000)) || fail "$(<"$T/memory") kB of memory"
	tidy
}
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
	too_much bomb 'more than 500000000 bytes when unpacked'
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
	too_much file 'archive entry "bomb": more than 500000000 bytes in this layer'
}

@test "a bomb of gzip, a thousand to one" {
	head -c 600000000 /dev/zero | gzip -1 >"$T/gzip.tar"
	image_of gzip "none:$T/gzip.tar"
	too_much gzip 'more than 500000000 bytes when unpacked'
}

@test "more entries than the limit: stopped there" {
	python3 - "$T/many.tar" <<-'END'
		import sys, tarfile
		with open(sys.argv[1], "wb") as f:
		    for i in range(40000):
		        f.write(tarfile.TarInfo(f"d{i % 100}/{i}").tobuf(tarfile.USTAR_FORMAT))
		    f.write(bytes(1024))
	END
	image_of many "gzip:$T/many.tar"
	too_much many 'more than 20000 entries'
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

@test "each layer is synced by one syncfs before it gets its place, and nothing else is synced for its files" {
	local strace n=3
	images_make "$T/images" tiny1
	strace -f -o "$T/trace" -e trace=syncfs,fsync,fdatasync,msync,renameat2,pwrite64,writev \
	    -p "$(worker_pid snapshot)" -p "$(pgrep -x coffer-nursery)" 2>"$T/strace.log" 3>&- &
	strace=$!
	wait_until 10 both_attached
	ok ctr images import --index-name tiny:1 "$T/images"
	kill -INT "$strace"
	wait "$strace" || true
	synced_first "$T/trace" "$n" || { cat "$T/trace" >&2; false; }
	# The check can fail: without the syncs of the trace it does.
	grep -v syncfs "$T/trace" >"$T/unsynced"
	! synced_first "$T/unsynced" "$n" || fail "the check does not check"
}
both_attached() { grep -q "$(worker_pid snapshot) attached" "$T/strace.log" && grep -q "$(pgrep -x coffer-nursery) attached" "$T/strace.log"; }
# synced_first TRACE LAYERS: a rename into overlay/ only when so many syncfs had ended; the child syncs nothing else
synced_first()
{
	awk -v layers="$2" '
		/syncfs\(.*unfinished/ { child[$1] = 1; next }
		/syncfs(\(| resumed).*= 0/ { child[$1] = 1; synced++ }
		/renameat2\(.*RENAME_NOREPLACE.*= 0/ { placed++; if (placed > synced) bad = 1; renamer = $1 }
		/(fsync|fdatasync)\(/ { single[$1]++ }
		END {
			for (pid in child)
				if (single[pid] > 0)
					bad = 1
			exit !(synced == layers && placed == layers && !bad && single[renamer] > 0)
		}' "$1"
}
