#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-hostile-layers - layers that attack, lie or are broken (tests/lib/evil_layers.py has them all), by each
# snapshotter: refused in one clear line, or taken and harmless. Nothing outside of the layer is touched,
# nothing half done is left, no worker dies, and no child needs much memory.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[snapshot]\nmax-layer-bytes = 500000000\nmax-layer-entries = 2000\n' >"$T/config.toml"
	mkdir "$T/m" "$T/canary" "$T/layers"
	echo untouched >"$T/canary/file"
	chmod 600 "$T/canary/file"
	# A disk of this host that nobody may open.
	truncate -s 1M "$T/disk"
	DISK=$(losetup --find --show "$T/disk")
	export DISK
	"$harness_lib/evil_layers.py" make "$T/layers" "$T/canary" "$((0x$(stat -c %t "$DISK"))):$((0x$(stat -c %T "$DISK")))"
	outside >"$T/outside"
	coffer_start
	workers_now >"$T/workers"
}
teardown_file()
{
	umount -l "$T/m" 2>/dev/null || true
	losetup -d "$DISK" 2>/dev/null || true
	harness_down
}

# outside: all that a layer might reach for
outside()
{
	find /etc/passwd /etc/shadow /etc /tmp /root -maxdepth 0 -printf '%p %y %m %U %G\n'
	find "$T/canary" "$T/disk" -printf '%p %y %m %U %G %s %T@ %n\n'
	sha256sum "$T/canary/file" "$T/disk" /etc/passwd
	getfattr -Rhd -m - --absolute-names "$T/canary"
	find / /etc /tmp /root "$T" -maxdepth 1 -name '*evil*'
}

nothing_made() { [[ -z $(find "$ROOT/snapshot/new" "$ROOT/snapshot/trash" -mindepth 1) ]]; }
only_base()
{
	nothing_made && [[ $(ctr snapshots list -q --snapshotter "$1" | wc -l) == 1 ]] &&
	    [[ $(find "$ROOT/snapshot/$1" -mindepth 1 -maxdepth 1 | wc -l) == 1 ]]
}
# unharmed SNAPSHOTTER: when base is all that is left, that is so on disk, too, and all outside is as it was
unharmed()
{
	local names
	mapfile -t names < <(ctr images list -q | grep -v /base:1)
	((${#names[@]} == 0)) || ok ctr images remove --sync "${names[@]}" || return 1
	wait_until 20 only_base "$1" || fail "left: $(ctr snapshots list; find "$ROOT/snapshot/" -maxdepth 3 -mindepth 2)" || return 1
	outside | diff "$T/outside" - >&2 || fail "something outside was touched" || return 1
	[[ $(workers_now) == "$(<"$T/workers")" ]] || fail "workers: $(workers_now)"
}

# shows SNAPSHOTTER STYLE: the mounted image is the tree that is wanted
shows()
{
	ok ctr images mount --snapshotter "$1" "$2:1" "$T/m" || return 1
	[[ $3 == any ]] || "$harness_lib/evil_layers.py" tree "$T/m" >"$T/tree" 2>&1 || true
	ok ctr images unmount "$T/m" || return 1
	# What overlayfs believes is ours to say.
	[[ $2 != xattrs_* ]] || ! getfattr -Rhd -m 'overlay|trusted.evil|security.(evil|selinux)' --absolute-names "$ROOT/snapshot/$1" 2>/dev/null |
	    grep -vE '^(# file:.*|trusted.overlay.opaque="y")?$' >&2 || fail "attributes got through" || return 1
	[[ $3 == any ]] || diff "$T/layers/$2.want" "$T/tree" >&2
}

# one SNAPSHOTTER STYLE
one()
{
	local want start
	want=$(head -n 1 "$T/layers/$2.want")
	start=$(now_ms)
	run --separate-stderr ctr images import --snapshotter "$1" "$T/layers/$2"
	echo "$1 $2 $(($(now_ms) - start)) ms: $status: $stderr" >>"$T/said"
	if [[ $status == 0 && $want != "refused "* ]]; then
		shows "$1" "$2" "$want" || return 1
	else
		[[ $want != taken ]] || fail "refused: $stderr" || return 1
		[[ $status == [12] && $stderr == "ctr: "* && $stderr != *$'\n'* && ${#stderr} -lt 1000 ]] ||
		    fail "status $status: $stderr" || return 1
		[[ $want == any ]] || grep -qE -- "${want#refused }" <<<"$stderr" || fail "not like ${want#refused }: $stderr" || return 1
		[[ $stderr != *[![:print:]]* ]] || fail "control characters" || return 1
	fi
}

# styles SNAPSHOTTER: all once; what is found out before anything is made of it has to do with none of them
styles() { "$harness_lib/evil_layers.py" list | if [[ $1 == overlay ]]; then cat; else grep -vE '^(gzip|zstd|pax|long|owner)_'; fi; }

# all SNAPSHOTTER: looking around takes longer than a layer, so that is done for ten of them
all()
{
	local style n=0 bad=() monitor
	ctr plugins list --format json | jq -e --arg s "$1" '.[] | select(.name == $s) | .works' >/dev/null || skip "no $1 here"
	ok ctr images import --snapshotter "$1" "$T/layers/base"
	: >"$T/running"
	child_memory 0.1 >"$T/memory" 3>&- &
	monitor=$!
	for style in $(styles "$1"); do
		one "$1" "$style" 2>"$T/why" || bad+=("$style: $(<"$T/why")")
		((++n % 10)) || unharmed "$1" 2>"$T/why" || bad+=("up to $style: $(<"$T/why")")
	done
	unharmed "$1"
	rm "$T/running"
	wait "$monitor"
	ok ctr images remove --sync base:1
	echo "# $1: $n layers, most memory of a child $(<"$T/memory") kB" >&3
	((${#bad[@]} == 0)) || fail "${bad[@]}" || return 1
	(($(<"$T/memory") < 40000)) || fail "$(<"$T/memory") kB of memory"
}

@test "overlay" { all overlay; }
@test "erofs" { all erofs; }
@test "native" { all native; }
