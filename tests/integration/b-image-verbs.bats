#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-image-verbs - label, prune, mount and unmount, inspect, check, usage.

load ../lib/harness.bash

setup_file()
{
	harness_up || return 1
	mkdir "$T/m" "$T/n"
	export BUSYBOX=$REG/coffer/busybox:latest LAYERS=$REG/coffer/layers:latest
	ctr images pull "$BUSYBOX" >/dev/null && ctr images pull "$LAYERS" >/dev/null
}
teardown_file()
{
	umount -l "$T/m" "$T/n" 2>/dev/null || true
	harness_down
}

scenario() { timeout -k 2 120 /usr/bin/python3 "$BATS_TEST_DIRNAME/images.py" "$STATE" "$@" 3>&-; }

# --- inspect, check, usage -------------------------------------------------------------------------

@test "inspect: the tree, with what is here, missing, unpacked" {
	ctr images pull -q "$REG/coffer/multi:latest" >/dev/null
	ok ctr images inspect "$REG/coffer/multi:latest"
	[[ ${lines[0]} == "$REG/coffer/multi:latest" && ${lines[1]} == '└── index sha256:'* ]]
	assert_match '^    [├└]── manifest sha256:[0-9a-f]{64}  [0-9]+ B  linux/s390x .*  missing$'
	assert_match '^    [│ ]   ├── config sha256:[0-9a-f]{64}  [0-9]+ B  application/vnd.oci.image.config.v1\+json$'
	assert_match '^    [│ ]   └── layer sha256:[0-9a-f]{64}  1.1 MiB  .*  unpacked$'
	ok ctr images inspect --format json "$REG/coffer/multi:latest"
	[[ $(jq '[.tree.children[] | select(.present)] | length' <<<"$output") == 1 ]]
	[[ $(jq -r '.. | select(.kind? == "layer") | .unpacked' <<<"$output") == true ]]
	refused 1 'is not here' ctr images inspect nothing.example/x
}

@test "inspect --content: the documents, byte for byte as values" {
	local digest
	ok ctr images inspect --content "$BUSYBOX"
	assert_match '^    │   "schemaVersion": 2,$'
	ok ctr images inspect --content --format json "$BUSYBOX"
	digest=$(jq -r .tree.digest <<<"$output")
	[[ $(jq -cS .tree.content <<<"$output") == "$(jq -cS . "$ROOT/content/blobs/sha256/${digest#sha256:}")" ]]
	[[ $(jq -r '.tree.children[0].content.os' <<<"$output") == linux ]]
}

@test "check: complete, unpacked, and what is missing" {
	local layer
	ok ctr images check
	assert_match "^$BUSYBOX +sha256:[0-9a-f]{64} +complete \(3/3\) +1.1 MiB +yes$"
	ok ctr images check -q "$BUSYBOX"
	assert_is "$BUSYBOX"
	MAY_PRINT=1 refused 1 'manifest sha256:[0-9a-f]{64} is missing' \
	    ctr images check --platform linux/s390x "$REG/coffer/multi:latest"
	ctr images pull -q --no-unpack "$REG/coffer/config:latest" >/dev/null
	ok ctr images check -q "name==$REG/coffer/config:latest"
	assert_is ""
	layer=$(ctr images inspect --format json "$REG/coffer/config:latest" |
	    jq -r '.. | select(.kind? == "layer") | .digest')
	scenario drop "$layer"
	MAY_PRINT=1 refused 1 "config:latest: layer $layer is missing" ctr images check "$REG/coffer/config:latest"
	assert_match 'incomplete \(2/3\)'
	run --separate-stderr ctr images check --format json
	jq -e --arg l "$layer" '.[] | select(.name | endswith("config:latest")) | .complete == false and
	    .missing == ["layer \($l) is missing"]' <<<"$output" >/dev/null
	ctr images pull -q "$REG/coffer/config:latest" >/dev/null
	ok ctr images check -q "$REG/coffer/config:latest"
	assert_is "$REG/coffer/config:latest"
}

@test "usage: blobs, layers, what is shared" {
	local one all
	ok ctr images usage --format json "$BUSYBOX"
	one=$output
	jq -e '.[0] | .shared == 0 and .unique == .content + .snapshots and .content > 1000000' <<<"$one" >/dev/null
	[[ $(jq '.[0].snapshots' <<<"$one") == "$(ctr snapshots list --format json |
	    jq --arg k "$(ctr images info "$BUSYBOX" | jq -r .chain_id)" '.[] | select(.key == $k) | .size')" ]]
	ctr images tag "$BUSYBOX" example.com/again:1 >/dev/null
	ok ctr images usage --format json "$BUSYBOX"
	jq -e '.[0] | .unique == 0 and .shared == .content + .snapshots' <<<"$output" >/dev/null
	ctr images rm example.com/again:1 >/dev/null
	ok ctr images usage
	assert_match '^all, each thing once +[0-9.]+ MiB +[0-9.]+ MiB +0 B +'
	all=$(ctr images usage --format json | jq '[.[].content] | add')
	[[ $all == "$(ctr content list --format json | jq '[.[].size] | add')" ]]
}

@test "odd images: shown, bounded, never printed raw" {
	local before verb
	before=$(workers_now)
	scenario odd
	ok ctr images inspect odd/deep
	assert_has 'damaged: indexes in indexes'
	ok ctr images inspect odd/json
	assert_has 'damaged: not JSON'
	ok ctr images inspect --content odd/absent
	assert_has missing
	ok ctr images inspect odd/artifact
	assert_has 'blob sha256:'
	ok ctr images inspect --content odd/config
	MAY_PRINT=1 refused 1 'odd/absent: manifest sha256:0{64} is missing' ctr images check odd/absent
	refused 1 'not JSON' ctr images mount odd/json "$T/m"
	for verb in list 'list --format json' 'list -q' check 'check --format json' usage 'usage --format json' \
	    'prune name==x'; do
		# shellcheck disable=SC2086
		run ctr images $verb
		[[ $output != *$'\e'* && $output != *$'\x9b'* && $output != *$'\r'* && $output != *$'\a'* ]] ||
		    fail "$verb printed it raw"
	done
	for verb in inspect 'inspect --content --format json' usage check; do
		# shellcheck disable=SC2086
		run ctr images $verb $'odd/\e[31mred\nname'
		[[ $output != *$'\e'* && $output != *$'\x9b'* && $output != *$'\r'* ]] || fail "$verb printed it raw"
		assert_has 'red'
	done
	ok ctr images label $'odd/\e[31mred\nname'
	assert_is 'a\x1b]0;title\x07=b\u009b\x0d'
	ok ctr images remove odd/deep odd/json odd/absent odd/artifact odd/config $'odd/\e[31mred\nname'
	[[ $output != *$'\e'* ]]
	[[ $(workers_now) == "$before" ]]
}

# completed WORD...: what the completion offers for the last word
completed()
{
	# shellcheck disable=SC2016
	PATH=$COFFER_BUILD:$PATH bash -c '. <(ctr completion bash); COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _ctr
	    printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

@test "completion: names of images and folders where they belong; a name is never executed" {
	local evil="\$(touch\${IFS}$T/executed)"
	scenario named "$evil"
	ok completed ctr images inspect ""
	assert_match "^$BUSYBOX$"
	[[ ! -e $T/executed ]] || fail "a name was executed"
	assert_hasnt touch
	ok completed ctr images usage "$BUSYBOX" ""
	assert_match "^$LAYERS$"
	mkdir "$T/folder"
	ok completed ctr images mount "$BUSYBOX" "$T/fol"
	assert_is "$T/folder"
	ok completed ctr images unmount "$T/fol"
	assert_is "$T/folder"
	ok completed ctr images list ""
	assert_is ""
	ok ctr images remove "$evil"
}

# --- label -----------------------------------------------------------------------------------------

@test "label: set, show, remove, replace all" {
	ok ctr images label "$BUSYBOX"
	assert_is ""
	ok ctr images label "$BUSYBOX" a=1 b=x=y c
	assert_is $'a=1\nb=x=y\nc=true'
	ok ctr images label "$BUSYBOX" a= b=2
	assert_is $'c=true\nb=2'
	ok ctr images list -q labels.c==true,labels.b==2
	assert_is "$BUSYBOX"
	ok ctr images label --replace-all "$BUSYBOX" only=this
	assert_is only=this
	ok ctr images label --replace-all "$BUSYBOX"
	assert_is ""
}

@test "label: what is wrong" {
	refused 1 'is not here' ctr images label nothing.example/x a=b
	refused 2 'no name' ctr images label "$BUSYBOX" =x
	refused 2 '4096' ctr images label "$BUSYBOX" "k=$(printf 'x%.0s' {1..5000})"
}

@test "a label's control characters are not printed raw" {
	ok ctr images label "$BUSYBOX" $'bell=\a\e[31mred\nline'
	assert_has 'bell=\x07\x1b[31mred\x0aline'
	[[ $output != *$'\e'* && ${#lines[@]} == 1 ]]
	ok ctr images list --format json
	[[ $output != *$'\e'* ]]
	ctr images label --replace-all "$BUSYBOX" >/dev/null
}

# --- tag -------------------------------------------------------------------------------------------

@test "tag: several names; one that is taken only with --force" {
	ok ctr images tag "$BUSYBOX" example.com/a:1 example.com/b
	assert_is $'example.com/a:1\nexample.com/b:latest'
	refused 1 'example.com/a:1 exists: --force' ctr images tag "$LAYERS" example.com/a:1
	ok ctr images tag --force "$LAYERS" example.com/a:1
	[[ $(ctr images list --format json name==example.com/a:1 | jq -r '.[0].target.digest') == \
	    $(ctr images list --format json "name==$LAYERS" | jq -r '.[0].target.digest') ]]
	refused 2 '.' ctr images tag "$BUSYBOX" $'bad\e[31mname'
	[[ $stderr != *$'\e'* ]]
	ok ctr images remove example.com/a:1 example.com/b:latest
}

# --- mount -----------------------------------------------------------------------------------------

@test "mount: the image's files, read-only; unmount leaves nothing" {
	ok ctr images mount "$LAYERS" "$T/m"
	assert_is "$T/m"
	[[ $(<"$T/m/data/back") == three && ! -e $T/m/data/dir/gone ]]
	run ! touch "$T/m/data/new"
	[[ $(findmnt -n -o OPTIONS "$T/m") == *nosuid* ]]
	ok ctr snapshots list -q kind==view
	assert_is "$T/m"
	ok ctr images unmount "$T/m"
	[[ ! -e $T/m/data ]]
	ok ctr snapshots list -q kind==view
	assert_is ""
}

@test "mount: an image of one layer" {
	ok ctr images mount "$BUSYBOX" "$T/m"
	[[ -x $T/m/bin/busybox ]]
	run ! touch "$T/m/new"
	ok ctr images umount "$T/m"
}

@test "mount --rw: what is written stays until unmount --rm, and the image as it is" {
	ok ctr images mount --rw "$LAYERS" "$T/m"
	echo mine >"$T/m/data/new"
	rm "$T/m/data/back"
	ok ctr images mount "$LAYERS" "$T/n"
	[[ -e $T/n/data/back && ! -e $T/n/data/new ]]
	ok ctr images unmount "$T/m" "$T/n"
	assert_is "$T/m"$'\n'"$T/n"
	ok ctr images mount --rw "$LAYERS" "$T/m"
	[[ $(<"$T/m/data/new") == mine && ! -e $T/m/data/back ]]
	ok ctr images unmount --rm "$T/m"
	refused 1 'no image is mounted' ctr images unmount "$T/m"
	ok ctr images mount --rw "$LAYERS" "$T/m"
	[[ ! -e $T/m/data/new ]]
	ok ctr images unmount --rm "$T/m"
}

@test "a mount outlives its image and every worker; its layers stay meanwhile" {
	ok ctr images mount "$LAYERS" "$T/m"
	ok ctr images remove --sync "$LAYERS"
	kill_worker snapshot
	kill_worker content
	[[ $(<"$T/m/data/back") == three ]]
	ok ctr images unmount "$T/m"
	ok ctr images pull -q "$LAYERS"
	ok ctr run --rm "$LAYERS" bv-after cat /data/back
	assert_is three
}

@test "a mount that something else ended, or a reboot: mounted again, or unmounted to be rid of it" {
	ctr images mount --rw "$LAYERS" "$T/m" >/dev/null
	echo mine >"$T/m/kept"
	umount "$T/m"
	ok ctr images mount --rw "$LAYERS" "$T/m"
	[[ $(<"$T/m/kept") == mine ]]
	umount "$T/m"
	ok ctr images unmount --rm "$T/m"
	ctr images mount "$LAYERS" "$T/m" >/dev/null
	umount "$T/m"
	rmdir "$T/m"
	ok ctr images unmount "$T/m"
	mkdir "$T/m"
	ok ctr snapshots list -q kind!=committed
	assert_is ""
}

@test "mount: what is wrong; nothing is left" {
	local before
	before=$(ctr snapshots list -q)
	refused 1 'No such file' ctr images mount "$BUSYBOX" "$T/absent"
	refused 2 'no folder' ctr images mount "$BUSYBOX" /etc/passwd
	refused 1 'is not here' ctr images mount nothing.example/x "$T/m"
	refused 1 'no manifest for linux/s390x' ctr images mount --platform linux/s390x "$BUSYBOX" "$T/m"
	refused 1 'no image is mounted at /proc' ctr images unmount /proc
	[[ $(ctr snapshots list -q) == "$before" ]]
	ctr images mount "$BUSYBOX" "$T/m" >/dev/null
	refused 1 'something is mounted there' ctr images mount "$LAYERS" "$T/m"
	ctr images unmount "$T/m" >/dev/null
	ctr images mount --rw "$BUSYBOX" "$T/m" >/dev/null
	ctr images unmount "$T/m" >/dev/null
	refused 1 'another image or kind' ctr images mount --rw "$LAYERS" "$T/m"
	refused 1 'is not mounted' ctr images unmount "$T/m"
	ok ctr images unmount --rm "$T/m"
	[[ $(ctr snapshots list -q) == "$before" ]]
}

# --- prune -----------------------------------------------------------------------------------------

@test "prune takes names without a tag; --all what no container was made from" {
	local digest
	digest=$(ctr images list --format json "name==$LAYERS" | jq -r '.[0].target.digest')
	ctr images tag "$LAYERS" example.com/other:1 >/dev/null
	ctr images pull -q "$REG/coffer/layers@$digest" >/dev/null
	ctr containers create "$BUSYBOX" bv-keeper >/dev/null
	ok ctr images prune
	assert_is "$REG/coffer/layers@$digest
1 image and 0 blobs removed, 0 B"
	ok ctr images prune
	assert_is "0 images and 0 blobs removed, 0 B"
	ok ctr images prune --all --force name==example.com/other:1
	assert_is "example.com/other:1
1 image and 0 blobs removed, 0 B"
	ok ctr images prune --all
	assert_match "^$LAYERS$"
	assert_match '^3 images and [1-9][0-9]* blobs removed, [0-9.]+ [KM]iB$'
	ok ctr images list -q
	assert_is "$BUSYBOX"
	ctr containers delete bv-keeper >/dev/null
	ctr images pull -q "$LAYERS" >/dev/null
}

@test "prune asks on a terminal" {
	ok on_terminal 'expect:y/N' 'send:n\n' -- "$COFFER_BUILD/ctr" images prune --all
	assert_has '0 images'
	ok ctr images list -q
	assert_has "$BUSYBOX"
}
