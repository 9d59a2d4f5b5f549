#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-snapshots - the snapshot worker, its nursery or a child of that killed at random moments of unpacks (also of
# layers that are still coming), prepares, views, commits and removals, by each snapshotter that works here: what
# is listed is whole, nothing is left on disk or mounted, and every command ends as if nothing had happened or says
# in a line what did. COFFER_SEED repeats a run; it is printed.

load ../lib/harness.bash

export SHOT_WHO=any_of_them
any_of_them() { running coffer-snapshot; } # the worker, its nursery, and what that has started

setup_file()
{
	harness_up bare
	printf '[supervisor]\nbackoff-limit = 0\n' >"$T/config.toml"
	mkdir "$T/m" "$T/trees"
	export EVIL_IMAGES=$T/images
	images_make "$T/images" kills1 kills2
	evil_start
	coffer_start
	export ALL
	ALL=$(ctr plugins list --format json | jq -r '.[] | select(.works) | .name')
	export COFFER_SEED=${COFFER_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $COFFER_SEED" >&3
}
teardown_file()
{
	umount -l "$T/m" 2>/dev/null || true
	harness_down
}

# kills_layer FOLDER N: 60 small files in folders of 20, a link and a file of 400 KB that does not compress
kills_layer()
{
	local i
	for ((i = 0; i < 60; i++)); do
		mkdir -p "$1/f$2-$((i / 20))"
		echo "$2 $i" >"$1/f$2-$((i / 20))/$i"
	done
	ln "$1/f$2-0/0" "$1/hard$2"
	openssl enc -aes-128-ctr -K "$(printf %032d "$2")" -iv 0 -in /dev/zero 2>/dev/null |
	    head -c 400000 >"$1/noise$2"
}
# Two layers that both images have, and one of their own that removes something.
images_kills()
{
	local n
	for n in 1 2; do
		[[ -d kills-$n ]] || kills_layer "kills-$n" "$n"
	done
	kills_layer "$1" "$2"
	mkdir "$1/f1-1"
	touch "$1/f1-1/.wh.20" "$1/.wh.f1-2" "$1/.wh.hard1"
	"$oci" image "$layout" "$1" --config '{"Env":["PATH=/bin"],"Cmd":["sh"]}' \
	    "$(images_layer gzip kills-1)" "$(images_layer zstd kills-2)" "$(images_layer gzip "$1")"
}
images_make_kills1() { images_kills kills1 3; }
images_make_kills2() { images_kills kills2 4; }

# --- what must be true ---------------------------------------------------------------------------------

# tree FOLDER: a sum of all there is of it
tree()
{
	(cd "$1" && find . -printf '%p|%y|%m|%U|%G|%l\n' | sort && find . -type f -print0 | sort -z | xargs -0 cat) |
	    cksum
}

# mounted_by COMMAND...: what it prints mounts at $T/m
mounted_by() { ctr "$@" >"$T/mount" && sh -e "$T/mount"; }

# tree_of SNAPSHOTTER KEY: that of a committed snapshot, by way of a view
tree_of()
{
	mounted_by snapshots view -t "$T/m" --snapshotter "$1" look "$2" && tree "$T/m" && umount "$T/m" &&
	    ctr snapshots delete --snapshotter "$1" look >/dev/null
}
# own_file SNAPSHOTTER KEY: written into an active snapshot
own_file()
{
	mounted_by snapshots mounts --snapshotter "$1" "$T/m" "$2" && echo own >"$T/m/own" && umount "$T/m"
}

keys() { ctr snapshots list -q --snapshotter "$@"; }

# Each shows a tree that was noted: layers theirs, "<layer>.mine-N" that with a file, and "<layer>.work-N" and
# "<layer>.look-N" one of the two.
trees_right()
{
	local s key tree
	for s in $ALL; do
		while read -r key; do
			tree=$(tree_of "$s" "$key") || fail "$s: $key can't be mounted" || return 1
			[[ $key != *.* ]] || key=${key%%.*}.own
			[[ $tree == "$(<"$T/trees/$key")" ]] || fail "$s: $key is not what it was" || return 1
		done < <(keys "$s" kind==committed)
		while read -r key; do
			mounted_by snapshots mounts --snapshotter "$s" "$T/m" "$key" && tree=$(tree "$T/m") &&
			    umount "$T/m" || fail "$s: $key can't be mounted" || return 1
			cat "$T/trees/${key%%.*}" "$T/trees/${key%%.*}.own" | grep -qxF "$tree" ||
			    fail "$s: $key is not what it stands on" || return 1
		done < <(keys "$s" kind!=committed)
	done
}

# Folders and records are one to one, and each mount is in such a folder.
shelves_right()
{
	local s rows folders mount
	for s in $ALL; do
		rows=$(keys "$s" | wc -l)
		folders=$(find "$ROOT/snapshot/$s" -mindepth 1 -maxdepth 1 | wc -l)
		[[ $rows == "$folders" ]] || fail "$s: $folders folders for $rows snapshots" || return 1
	done
	while read -r mount; do
		[[ $mount =~ ^$ROOT/snapshot/erofs/[0-9]+/fs$ ]] || fail "mounted: $mount" || return 1
	done < <(mounted)
	[[ -z $(mounted | sort | uniq -d) ]] || fail "mounted twice: $(mounted)"
}
mounted() { cut -d ' ' -f 5 /proc/self/mountinfo | grep -F "$ROOT/snapshot/"; }
none_half_made() { [[ -z $(find "$ROOT/snapshot/new" "$ROOT/snapshot/trash" -mindepth 1 -maxdepth 1) ]]; }

# right: all of that, when the worker is a new one. The last shot may have hit its nursery: then it ends by itself just
# now, and the next one is killed.
right()
{
	wait_until 20 kill_worker snapshot && wait_until 10 none_half_made && shelves_right && trees_right
}

# on_disk: what there is beside the database
on_disk() { find "$ROOT/snapshot" -path "$ROOT/snapshot/db" -prune -o -printf '%P %y %s %b\n' | sort; }

# all_removed: nothing of what was made is left
all_removed()
{
	local s key
	for s in $ALL; do
		for key in $(keys "$s" kind!=committed) $(keys "$s" kind==committed | grep mine | sort -t - -k 2 -rn); do
			ok ctr snapshots delete --snapshotter "$s" "$key" || return 1
		done
	done
	all_gone && wait_until 10 none_half_made || return 1
	[[ -z $(mounted) ]] || fail "mounted: $(mounted)" || return 1
	diff "$T/empty" <(on_disk) >&2 || fail "the disk is not as it was"
}

@test "without kills: all snapshotters show the same" {
	local s name key
	on_disk >"$T/empty"
	for name in kills1 kills2; do
		for s in $ALL; do
			ok ctr images pull -q --snapshotter "$s" "$EVIL/ok/$name"
			for key in $(keys "$s" kind==committed); do
				note "$s" "$key" || fail "$s: $key" || return 1
			done
		done
	done
	right
	all_removed
}
# note SNAPSHOTTER KEY: its tree, and that with a file, are as another snapshotter showed them, if one did
note()
{
	tree_of "$1" "$2" >"$T/tree" && same_tree "$2" || return 1
	ctr snapshots prepare --snapshotter "$1" "$2.work" "$2" >/dev/null && own_file "$1" "$2.work" &&
	    ctr snapshots commit --snapshotter "$1" "$2.mine" "$2.work" >/dev/null &&
	    tree_of "$1" "$2.mine" >"$T/tree" && same_tree "$2.own" &&
	    ctr snapshots delete --snapshotter "$1" "$2.mine" >/dev/null
}
same_tree()
{
	[[ -e $T/trees/$1 ]] || cp "$T/tree" "$T/trees/$1"
	cmp "$T/tree" "$T/trees/$1"
}

# --- with kills: one round of each kind, by the snapshotter $s, $i the round ------------------------------------

# one LINES: of these, empty for none
one()
{
	local lines
	mapfile -t lines <<<"$1"
	echo "${lines[RANDOM % ${#lines[@]}]}"
}

a_pull()
{
	local how=ok ms=60
	((RANDOM % 4 > 0)) || how=throttle ms=100 # so long do the layers take
	SHOT_MS=$ms shot images pull --snapshotter "$s" "$EVIL/$how/kills$((RANDOM % 2 + 1))"
}
an_unpack()
{
	local name
	name=$(one "$(ctr images list -q)")
	if [[ -n $name ]]; then
		shot snapshots unpack --snapshotter "$s" "$name"
	else
		a_pull
	fi
}
a_removal()
{
	local name
	name=$(one "$(ctr images list -q)")
	[[ -z $name ]] || shot images remove --sync "$name"
}
# a_prepare prepare|view WHAT
a_prepare()
{
	local base
	base=$(one "$(keys "$s" kind==committed)")
	[[ -z $base ]] || SHOT_MS=30 shot snapshots "$1" --snapshotter "$s" "${base%%.*}.$2-$i" "$base"
}
a_commit()
{
	local key
	key=$(one "$(keys "$s" kind==active)")
	[[ -n $key ]] || return 0
	wait_until 10 own_file "$s" "$key" && SHOT_MS=30 shot snapshots commit --snapshotter "$s" "${key%%.*}.mine-$i" "$key"
}
a_delete()
{
	local key
	key=$(one "$(keys "$s" | grep -F .)")
	[[ -z $key ]] || SHOT_MS=30 shot snapshots delete --snapshotter "$s" "$key"
}

round()
{
	local all s
	mapfile -t all <<<"$ALL"
	s=${all[RANDOM % ${#all[@]}]}
	case $((RANDOM % 12)) in
	0 | 1 | 2) a_pull ;;
	3 | 4) an_unpack ;;
	5 | 6) a_removal ;;
	7) a_prepare prepare work ;;
	8) a_prepare view look ;;
	9) a_commit ;;
	*) a_delete ;;
	esac
}

@test "killed at 500 random moments" {
	local i killed=0 checked=0
	RANDOM=$COFFER_SEED
	for ((i = 1; killed < 500; i++)); do
		round || fail "seed $COFFER_SEED, round $i" || return 1
		if ((killed >= checked + 100)); then
			checked=$killed
			right || fail "seed $COFFER_SEED, round $i" || return 1
		fi
	done
	[[ ! -e $T/refused ]] || echo "# $(wc -l <"$T/refused") of $i commands failed, with a line each" >&3
	right
	all_removed
}

@test "a child that is killed while it empties the trash: the next one does, without anybody's asking" {
	local folder pid
	ok ctr snapshots prepare --snapshotter overlay large
	folder=$(find "$ROOT/snapshot/overlay" -mindepth 2 -maxdepth 2 -name fs)
	(cd "$folder" && seq 30000 | xargs touch)
	ok ctr snapshots delete --snapshotter overlay large
	wait_until 5 pgrep -x coffer-unpack
	pid=$(pgrep -x coffer-unpack)
	kill -KILL "$pid"
	grep -q . <(find "$ROOT/snapshot/trash" -mindepth 2) || fail "killed too late"
	wait_until 20 none_half_made
}
