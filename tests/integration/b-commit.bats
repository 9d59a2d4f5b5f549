#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-commit - images out of containers: what they hold, that other programs read the same tree out of them, and
# that we read theirs.

load ../lib/harness.bash

setup_file()
{
	harness_up || return 1
	mkdir "$T/m"
	export BUSYBOX
	BUSYBOX=$(ctr images pull -q "$REG/coffer/busybox:latest")
}
teardown_file()
{
	umount -l "$T/m" 2>/dev/null || true
	harness_down
}

# tree FOLDER: all there is of it, a line each, but for the mode and times of the root itself
tree()
{
	(cd "$1" && find . -mindepth 1 -printf '%p|%y|%m|%U|%G|%s|%T+|%l|%n\n' | sort) |
	    sed -E '/^[^|]*\|d\|/s/^(([^|]*\|){5})[0-9]+/\1-/; s/^(.*\|d\|.*\|)[0-9]+$/\1-/'
	(cd "$1" && find . -type f -size -100M -exec sha256sum {} + | sort -k 2)
	(cd "$1" && getfattr -Rhd -m '^(user|security.capability|system.posix)' --absolute-names . 2>/dev/null)
}
# tree_of IMAGE
tree_of()
{
	ctr images mount "$1" "$T/m" >/dev/null && tree "$T/m" && ctr images unmount "$T/m" >/dev/null
}
config_of() { ctr images info "$1" | jq -c .config; }
# As buildah sees times: whole seconds, none before 1970.
coarse() { sed -E 's/\.[0-9]{10}\|/|/; s/\|1969-12-31\+23:59:..\|/|1970-01-01+00:00:00|/'; }
podman_here() { podman --storage-driver vfs --root "$T/pr" --runroot "$T/prr" "$@" 3>&-; }
buildah_here() { buildah --storage-driver vfs --root "$T/pr" --runroot "$T/prr" "$@" 3>&-; }

# What a container does to its root, so that a layer has one of each kind.
changes='
	set -e
	mkdir -p /made/deep && echo text >/made/deep/f && ln /made/deep/f /made/link
	ln -s deep/f /made/sym && mkfifo /made/fifo && chmod 4711 /made/deep/f
	dd if=/dev/zero of=/made/sparse bs=1 count=1 seek=30000000 2>/dev/null
	rm /bin/false && rm -r /etc && mkdir /etc && echo other >/etc/mine
	chown 12:34 /made && touch -d "1969-12-31 23:59:50" /made/sym /made/deep/f
	touch -d "2040-02-03 04:05:06" /made/deep
	name=$(printf "%0255d" 7) && echo long >/made/$name && echo bytes >"/made/$(printf "\377\376")"
'

@test "what a container has written is in the image, which runs at once" {
	export KEEP=bc-1
	ok ctr run "$BUSYBOX" bc-1 sh -c "$changes"
	ok ctr containers commit bc-1 mine:1
	assert_is docker.io/library/mine:1
	ok ctr run --rm mine:1 bc-2 sh -c 'cat /made/link /etc/mine; ls /bin/false 2>&1; ls /etc; stat -c "%u %g %a %h" /made /made/deep/f'
	assert_is $'text\nother\nls: /bin/false: No such file or directory\nmine\n12 34 755 3\n0 0 4711 2'
	ok ctr images check mine:1
	store_whole
	[[ -z $(ctr leases list -q) && -z $(ctr content active -q) ]]
	# The layers below are the image's own.
	diff <(ctr images inspect --format json "$BUSYBOX" | jq -r '[.. | .chain_id? // empty] | last') \
	    <(ctr snapshots info "$(ctr images inspect --format json mine:1 | jq -r '[.. | .chain_id? // empty] | last')" | jq -r .Parent)
	ok ctr gc
	ok ctr run --rm mine:1 bc-2 true
}

@test "history, author, created; changes of the config" {
	ok ctr containers commit -a 'A <a@b>' -m 'for a test' -c 'CMD ["echo", "hi", "you"]' -c 'ENV A=b C="d e"' \
	    -c 'ENV PATH /bin' -c 'LABEL who=me' -c 'workdir made' -c 'EXPOSE 80 53/udp' -c 'VOLUME /data' \
	    -c 'USER 12:34' -c 'STOPSIGNAL SIGHUP' bc-1 mine:2
	ok ctr images info mine:2
	jq -e '.config.config | .Cmd == ["echo", "hi", "you"] and (.Env | index("A=b") and index("C=d e") and index("PATH=/bin"))
	    and ([.Env[] | select(startswith("PATH="))] | length == 1)
	    and .Labels.who == "me" and .WorkingDir == "/made" and .ExposedPorts == {"80/tcp": {}, "53/udp": {}}
	    and .Volumes == {"/data": {}} and .User == "12:34" and .StopSignal == "SIGHUP"' <<<"$output"
	jq -e '.config | .author == "A <a@b>" and (.history[-1] | .author == "A <a@b>" and .comment == "for a test"
	    and (.created_by | startswith("sh -c")) and .created != null) and (.history | length) == (.rootfs.diff_ids | length)
	    and .created == .history[-1].created' <<<"$output"
	ok ctr run --rm mine:2 bc-2
	assert_is "hi you"
	ok ctr containers commit -c 'ENTRYPOINT echo shell' bc-1 mine:2
	ok ctr run --rm mine:2 bc-2
	assert_is shell
	refused 2 'change "FROM x": not CMD' ctr containers commit -c 'FROM x' bc-1 no:1
	refused 2 'change "CMD \[": not JSON' ctr containers commit -c 'CMD [' bc-1 no:1
	refused 2 'STOPSIGNAL' ctr containers commit -c 'STOPSIGNAL nope' bc-1 no:1
	refused 2 'compression' ctr containers commit --compression lzma bc-1 no:1
	refused 1 'bc-9' ctr containers commit bc-9 no:1
	refused 2 'reference|name' ctr containers commit bc-1 'NO WAY'
	refused 1 'no:1' ctr images info no:1
	[[ -z $(ctr leases list -q) ]]
}

@test "the same container gives the same image, packed as is wanted" {
	local how first
	export SOURCE_DATE_EPOCH=1700000000
	for how in gzip none zstd; do
		ok ctr containers commit --compression $how --format json bc-1 mine:$how
		first=$output
		ok ctr containers commit --compression $how --format json bc-1 again:$how
		diff <(jq -r .target.digest <<<"$first") <(jq -r .target.digest <<<"$output")
		diff <(ctr images info mine:$how | jq .config.rootfs) <(ctr images info mine:gzip | jq .config.rootfs)
		ok ctr images remove again:$how
	done
	ok ctr images info mine:zstd
	jq -e '.config.created | startswith("2023-11-14T22:13:20")' <<<"$output"
	SOURCE_DATE_EPOCH=soon refused 2 SOURCE_DATE_EPOCH ctr containers commit bc-1 no:1
}

@test "other programs read the same tree: umoci, buildah, skopeo" {
	tree_of mine:1 >"$T/want"
	grep -q '/made/link' "$T/want"
	ok ctr images export "$T/e.tar" mine:1
	skopeo copy -q "oci-archive:$T/e.tar" "oci:$T/layout:one"
	umoci unpack --image "$T/layout:one" "$T/bundle"
	diff "$T/want" <(tree "$T/bundle/rootfs")
	rm -rf "$T/bundle"
	podman_here load -q <"$T/e.tar"
	buildah_here from --pull-never --name one docker.io/library/mine:1 >/dev/null
	diff <(coarse <"$T/want") <(tree "$(buildah_here mount one)" | coarse)
	buildah_here umount one >/dev/null
	ok ctr images export "$T/z.tar" mine:zstd
	skopeo copy -q "oci-archive:$T/z.tar" "dir:$T/dir"
	skopeo inspect "dir:$T/dir" | jq -e '.Layers | length == 2'
}

@test "what umoci and buildah have made of it is here what it is there" {
	local root
	umoci unpack --image "$T/layout:one" "$T/bundle"
	root=$T/bundle/rootfs
	rm -r "$root/made/deep"
	echo file >"$root/made/deep"
	ln "$root/made/link" "$root/made/link2"
	mkdir "$root/new"
	touch -d '1969-12-31 23:59:58.25 UTC' "$root/new"
	setfattr -n user.x -v y "$root/new"
	umoci repack --image "$T/layout:two" "$T/bundle"
	skopeo copy -q "oci:$T/layout:two" "oci-archive:$T/two.tar:docker.io/library/two:1"
	ok ctr images import "$T/two.tar"
	umoci unpack --image "$T/layout:two" "$T/bundle2"
	# How many names a file has is not seen through layers: one of them is hidden.
	diff <(tree_of two:1 | sed 's/|[0-9]*$//') <(tree "$T/bundle2/rootfs" | sed 's/|[0-9]*$//')

	root=$(buildah_here mount one)
	rm "$root/made/fifo"
	mkdir "$root/bud"
	echo bud >"$root/bud/f"
	setcap cap_net_raw=ep "$root/bud/f"
	tree "$root" >"$T/want"
	buildah_here umount one >/dev/null
	buildah_here commit -q one three >/dev/null
	buildah_here push -q three "oci-archive:$T/three.tar:docker.io/library/three:1"
	ok ctr images import "$T/three.tar"
	diff <(coarse <"$T/want") <(tree_of three:1 | coarse)
	buildah_here rm one >/dev/null
	export KEEP=
	ok ctr containers delete bc-1
}

@test "a container that runs is paused meanwhile, and runs on" {
	ok ctr run -d "$BUSYBOX" bc-4 sh -c 'dd if=/dev/urandom of=/ab bs=1M count=40; i=0; while :; do i=$((i + 1)); echo $i >/b; echo $i >/a; done'
	wait_until 10 ctr containers exec bc-4 test -s /b
	ok ctr containers commit bc-4 mine:4
	ok ctr tasks list --format json
	jq -e '.[] | select(.id == "bc-4") | .status == "running"' <<<"$output"
	# /a is read long before /b, and yet both are of the same moment.
	ok ctr run --rm mine:4 bc-5 sh -c 'a=$(cat /a); b=$(cat /b); [ -z "$a" ] || [ -z "$b" ] || [ $((b - a)) -le 1 ]'
	ok ctr events --from 1 --no-follow --topic /tasks --format json
	grep -q '/tasks/paused' <<<"$output"
	ok ctr containers commit --pause=false bc-4 mine:5
	ok ctr containers delete --force bc-4
}

@test "a commit of a commit; another snapshotter; nothing written" {
	local s
	for s in $(ctr plugins list --format json | jq -r '.[] | select(.works) | .name'); do
		ok ctr run --snapshotter "$s" "$BUSYBOX" "bs-$s" sh -c 'echo 1 >/one; rm /bin/true; mkdir -p /d/e; ln /one /d/two'
		ok ctr containers commit "bs-$s" "snap:$s"
		ok ctr run --snapshotter "$s" "snap:$s" "bt-$s" sh -c 'rm -r /d; mkdir /d; cat /one >/d/three'
		ok ctr containers commit "bt-$s" "snap2:$s"
		ok ctr containers create --snapshotter "$s" "snap2:$s" "bu-$s"
		ok ctr containers commit "bu-$s" "snap3:$s"
		ok ctr run --rm --snapshotter "$s" "snap3:$s" "bv-$s" sh -c 'cat /d/three; ls /d /bin/true 2>&1 || :'
		assert_is $'1\nls: /bin/true: No such file or directory\n/d:\nthree'
		ok ctr containers delete "bs-$s" "bt-$s" "bu-$s"
	done
}

@test "an image that is another one by now is refused; interrupted, nothing is left" {
	local pid before
	ok ctr images tag "$BUSYBOX" moving:1
	ok ctr run moving:1 bm-1 sh -c 'dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null'
	ok ctr images tag --force mine:1 moving:1
	refused 1 'made from other layers than docker.io/library/moving:1 has now' ctr containers commit bm-1 no:1
	ok ctr images tag --force "$BUSYBOX" moving:1
	before=$(state_now)
	"$COFFER_BUILD/ctr" containers commit bm-1 no:1 3>&- 2>"$T/err" &
	pid=$!
	wait_until 10 draft_grows
	kill -INT $pid
	status=0
	wait $pid || status=$?
	assert_status 130
	[[ $(state_now) == "$before" && -z $(ctr leases list -q) && -z $(ctr content active -q) ]]
	ctr containers commit bm-1 yes:1 &
	pid=$!
	wait_until 10 draft_grows
	kill_worker snapshot
	kill_worker content
	wait $pid
	ok ctr images check yes:1
	ok ctr containers delete bm-1
	nothing_left
}
draft_grows() { ctr content active --format json | jq -e 'any(.ref | startswith("diff-"))'; }

# The commands of docs/snapshots.md, as they stand there; what they print must be what is written below them.
@test "the guide to snapshots" {
	local line want="" got=""
	ok ctr images tag "$BUSYBOX" busybox
	mkdir -p "$T/bin" "$T/guide"
	mount --bind "$T/m" /mnt
	ln -sf "$COFFER_BUILD/ctr" "$T/bin/ctr"
	cd "$T/guide"
	while IFS= read -r line; do
		case $line in
		'$ '*)
			[[ -z $want || $want == "$got" ]] || fail "want: $want" "got: $got"
			got=$(PATH=$T/bin:$PATH bash -eo pipefail -c "${line#\$ }" </dev/null 3>&-) || fail "$line"
			want=
			;;
		'```') ;;
		*) want+=${want:+$'\n'}$line ;;
		esac
	done < <(sed -n '/^```$/,/^```$/p' "$harness_top/docs/snapshots.md" | grep -v '^TYPE\|^snapshotter ')
	[[ $want == "$got" ]]
	ok ctr containers delete job
}

@test "a container in a user namespace: owners are those that it sees" {
	ok ctr run --uidmap 0:100000:65536 "$BUSYBOX" bu-1 sh -c 'echo mine >/mine; touch /other; chown 7:8 /other'
	if ! ctr snapshots diff bu-1 >"$T/owners.gz" 2>"$T/owners.err"; then
		grep -q owners "$T/owners.err"
		ok ctr containers delete bu-1
		skip "owners can't be mapped here: no layer is made of what they were changed in"
	fi
	tar --numeric-owner -tvzf "$T/owners.gz" >"$T/owners"
	grep -q ' 0/0 .* mine$' "$T/owners"
	grep -q ' 7/8 .* other$' "$T/owners"
	ok ctr containers delete bu-1
}
