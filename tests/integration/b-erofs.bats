#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-erofs - layers as EROFS images: sound by erofs-utils, mounted once for all, and by nobody who is not
# there any more.

load ../lib/harness.bash

setup_file()
{
	harness_up || return 1
	ctr plugins list | grep -qE '^snapshotter +erofs +ok' || skip "erofs does not work here"
	printf '[snapshot]\nsnapshotter = "erofs"\n[supervisor]\nbackoff-limit = 0\n' >"$T/config.toml"
	coffer_stop
	coffer_start
	mkdir "$T/m"
	export IMAGE=$REG/coffer/layers:latest BB=$REG/coffer/busybox:latest
}
teardown_file() { harness_down; }

# mounted: where images are mounted, a line each
mounted() { awk -v d="$ROOT/snapshot/erofs/" 'index($5, d) == 1 {print $5}' /proc/self/mountinfo; }
no_mounts() { [[ -z $(mounted) ]]; }
no_folders() { [[ -z $(find "$ROOT"/snapshot/{erofs,new,trash} -mindepth 1) ]]; }

@test "a layer is one image, which fsck.erofs and dump.erofs take, and nothing else" {
	local f n=0 blocks
	ok ctr images pull -q "$IMAGE"
	for f in "$ROOT"/snapshot/erofs/*/layer.erofs; do
		fsck.erofs "$f" || fail "$f"
		fsck.erofs --extract="$T/out" "$f" >/dev/null || fail "extract $f"
		rm -rf "$T/out"
		run dump.erofs -s "$f"
		assert_has 'sb_csum mtime'
		blocks=$(awk '/^Filesystem blocks:/ {print $3}' <<<"$output")
		((blocks * 4096 == $(stat -c %s "$f"))) || fail "$f: $blocks blocks"
		n=$((n + 1))
	done
	((n == $(ctr snapshots list -q kind==committed | wc -l)))
	[[ -z $(find "$ROOT/snapshot/erofs" -mindepth 2 -maxdepth 2 -name fs ! -empty) ]]
	no_mounts # until somebody wants to read them
}

@test "containers of an image share its mounts; these go with the image, not before" {
	local before
	ok ctr run -d "$BB" e-1 sleep 1000
	before=$(mounted)
	[[ $(wc -l <<<"$before") == 1 ]]
	ok ctr run -d "$BB" e-2 sleep 1000
	[[ $(mounted) == "$before" ]]
	ok ctr containers delete -f e-1
	[[ $(mounted) == "$before" ]]
	ok ctr containers exec e-2 sh -c 'ls /bin | wc -l'
	[[ $output -gt 100 ]]
	ok ctr containers delete -f e-2
	ok ctr images remove --sync "$BB"
	[[ $(ctr images list -q) == "$IMAGE" ]]
	wait_until 10 no_mounts
}

@test "the worker killed: its mounts are used by the next one" {
	local before
	ok ctr run -d "$BB" e-3 sleep 1000
	before=$(grep -F "$ROOT/snapshot/erofs/" /proc/self/mountinfo | grep -v overlay)
	kill_worker snapshot
	ok ctr run --rm "$BB" e-4 true
	[[ $(grep -F "$ROOT/snapshot/erofs/" /proc/self/mountinfo | grep -v overlay) == "$before" ]]
	ok ctr containers exec e-3 ls /bin
	ok ctr containers delete -f e-3
}

@test "the daemon stops: nothing of it is mounted, and what runs does not mind" {
	ok ctr run -d "$BB" e-5 sh -c 'while ! [ -e /go ]; do sleep 0.1; done; ls /bin | wc -l >/n; cat /n'
	[[ -n $(mounted) ]]
	coffer_stop
	no_mounts
	coffer_start
	ok ctr containers exec e-5 touch /go
	wait_until 10 is_status e-5 stopped
	ok ctr containers logs e-5
	[[ $output -gt 100 ]]
	ok ctr containers delete e-5
}

@test "mounts whose layer has no record are undone at the start" {
	coffer_stop
	mkdir -p "$ROOT/snapshot/erofs/99/fs"
	cp "$(find "$ROOT/snapshot/erofs" -name layer.erofs | head -n 1)" "$ROOT/snapshot/erofs/99/"
	mount -t erofs -o loop,ro "$ROOT/snapshot/erofs/99/layer.erofs" "$ROOT/snapshot/erofs/99/fs"
	mount -t tmpfs none "$ROOT/snapshot/erofs/99/fs"
	coffer_start
	no_mounts
	wait_until 10 gone_99
}
gone_99() { [[ ! -e $ROOT/snapshot/erofs/99 && -z $(find "$ROOT/snapshot/trash" -mindepth 1) ]]; }

@test "a committed snapshot is a folder, and others stand on it" {
	ok ctr images pull -q "$BB"
	ok ctr run "$BB" e-6 sh -c 'echo one >/one; rm /bin/ls'
	ok ctr snapshots commit e-6-c e-6
	ok ctr snapshots prepare e-7 e-6-c
	ctr snapshots mounts "$T/m" e-7 | sh
	[[ $(<"$T/m/one") == one && ! -e $T/m/bin/ls && -e $T/m/bin/cat ]]
	umount "$T/m"
	ok ctr snapshots delete e-7 e-6-c
	ctr containers delete -f e-6 || true
}

@test "an image that the disk lost or broke is no empty layer but an error" {
	local f
	ok ctr images pull -q "$BB"
	coffer_stop
	f=$(find "$ROOT/snapshot/erofs" -name layer.erofs -size +1000k | head -n 1)
	mv "$f" "$T/kept"
	coffer_start
	refused 125 'layer.erofs: No such file' ctr run --rm "$BB" e-8 true
	head -c 4096 /dev/zero >"$f"
	refused 125 'mount EROFS image' ctr run --rm "$BB" e-8 true
	mv "$T/kept" "$f"
	ok ctr run --rm "$BB" e-8 true
}

@test "everything removed: no mount, no file" {
	ok ctr images remove --sync "$IMAGE" "$BB"
	ok ctr gc
	wait_until 10 no_mounts
	wait_until 10 no_folders
}

@test "fsverity where there is none: erofs says so, and another one is taken" {
	[[ ! -e /proc/sys/fs/verity ]] || skip "this kernel has fs-verity"
	coffer_stop
	printf '[snapshot]\nfsverity = true\n' >"$T/config.toml"
	coffer_start
	ok ctr plugins list
	assert_match '^snapshotter +erofs +skip +option fsverity: no fs-verity: the kernel is made without it'
	assert_match '^snapshotter +overlay +ok, default'
	refused 1 'snapshotter erofs does not work here: option fsverity' ctr images pull --snapshotter erofs "$BB"
	ok ctr run --rm "$BB" sealed echo here
	assert_is here
	coffer_stop
	printf '[snapshot]\nfsverity = "perhaps"\n' >"$T/config.toml"
	run coffer_start
	[[ $status != 0 ]]
	wait_until 10 grep -q 'option fsverity=perhaps: true or false' "$T/cofferd.log"
	coffer_stop
	rm "$T/config.toml"
	coffer_start
}

@test "fsverity: images are sealed, and one that was changed is not mounted" {
	[[ -e /proc/sys/fs/verity ]] || skip "this kernel has no fs-verity"
	local f
	coffer_stop
	truncate -s 200M "$T/disk"
	mkfs.ext4 -q -O verity -b 4096 "$T/disk"
	mkdir -m 711 "$T/x"
	mount -o loop "$T/disk" "$T/x"
	chmod 711 "$T/x"
	printf '[snapshot]\nfsverity = true\n' >"$T/config.toml"
	ROOT=$T/x/root coffer_start
	ok ctr run --rm "$BB" sealed echo here
	f=$(find "$T/x/root/snapshot/erofs" -name layer.erofs)
	[[ $(lsattr "$f") == *V* ]]
	coffer_stop
	cp "$f" "$f.new" && mv "$f.new" "$f"
	ROOT=$T/x/root coffer_start
	refused 125 'was sealed as sha256:[0-9a-f]{64} and is sealed no more' ctr run --rm "$BB" sealed true
	coffer_stop
	umount "$T/x"
	rm "$T/config.toml"
	coffer_start
}
