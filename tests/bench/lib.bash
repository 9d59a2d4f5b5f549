# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# lib - what the benches stand on: a scratch folder $dir, both daemons, times, medians, the table. To be
# sourced in the repository's top folder. Everything that was started ends with the script, by pid.
build=$PWD/build
dir=$(mktemp -d /tmp/coffer-bench.XXXXXX) || exit 1
chmod 711 "$dir"
# shellcheck source=tests/lib/images.bash
. tests/lib/images.bash
# shellcheck source=tests/lib/registry.bash
. tests/lib/registry.bash
export LC_ALL=C COFFER_ADDRESS=$dir/state

((EUID == 0)) || { echo "${0##*/}: needs root" >&2; exit 1; }

cleanup()
{
	local p

	trap - EXIT INT TERM
	# Kill by pid only what was started here; shims are found by their working folder.
	for p in ${coffer_pid-} ${containerd_pid-} ${evil_pid-}; do
		kill "$p" 2>/dev/null
	done
	for p in $(find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname '*/containerd-shim*' 2>/dev/null |
	    cut -d / -f 3); do
		[[ $(readlink "/proc/$p/cwd") != "$dir"/* ]] || kill -KILL "$p" 2>/dev/null
	done
	registry_stop bench
	sleep 0.5
	grep -F " $dir/" /proc/self/mountinfo | cut -d ' ' -f 5 | sort -r | while read -r p; do
		umount -l "$p"
	done
	rm -rf --one-file-system "$dir"
	# containerd's ctr and shims have folders of their own, wherever the daemon is.
	[[ -z $made_run ]] || find /run/containerd -depth -type d -exec rmdir {} + 2>/dev/null
}
made_run=
[[ -e /run/containerd ]] || made_run=1
trap cleanup EXIT
trap 'exit 130' INT TERM

ours() { "$build/ctr" "$@"; }
theirs() { /usr/bin/ctr --address "$dir/containerd.sock" "$@"; }

# until_ok SECONDS COMMAND...
until_ok()
{
	local end=$((SECONDS + $1))
	shift

	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || { echo "${0##*/}: waited in vain for: $*" >&2; exit 1; }
		sleep 0.05
	done
}

coffer_ready() { [[ $(ours workers --format json | jq '[.[] | select(.state == "running")] | length') == 4 ]]; }

# coffer_start: with $dir/coffer.toml, if it is there
coffer_start()
{
	local config=()

	[[ ! -e $dir/coffer.toml ]] || config=(--config "$dir/coffer.toml")
	setsid "$build/cofferd" --root "$dir/root" --state "$dir/state" "${config[@]}" </dev/null \
	    >>"$dir/cofferd.log" 2>&1 &
	coffer_pid=$!
	disown
	until_ok 20 coffer_ready
}
coffer_gone() { ! kill -0 "$coffer_pid"; }
coffer_stop()
{
	kill "$coffer_pid"
	until_ok 20 coffer_gone
}

containerd_start()
{
	cat >"$dir/containerd.toml" <<-END
		version = 2
		root = "$dir/c-root"
		state = "$dir/c-state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		  address = "$dir/containerd.sock"
		[ttrpc]
		  address = "$dir/containerd.sock.ttrpc"
	END
	setsid containerd -c "$dir/containerd.toml" </dev/null >"$dir/containerd.log" 2>&1 &
	containerd_pid=$!
	disown
}

# once NAME COMMAND...: its time in microseconds, one line in $dir/NAME.t
once()
{
	local name=$1 t0 t1
	shift

	t0=${EPOCHREALTIME/./}
	"$@" >"$dir/out" 2>&1 </dev/null || {
		echo "${0##*/}: $name failed:" >&2
		tail -n 3 "$dir/out" >&2
		exit 1
	}
	t1=${EPOCHREALTIME/./}
	echo $((t1 - t0)) >>"$dir/$name.t"
}
median() { sort -n "$dir/$1.t" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : int((v[NR / 2] + v[NR / 2 + 1]) / 2)}'; }

# pss PID...: proportional set size of them all, kB; private PID: what only it holds
pss() { local p; for p in "$@"; do sed -n 's/^Pss: *\([0-9]*\).*/\1/p' "/proc/$p/smaps_rollup"; done | awk '{s += $1} END {print s + 0}'; }
private() { awk '/^Private_(Clean|Dirty):/ {s += $2} END {print s}' "/proc/$1/smaps_rollup"; }

# --- the table ----------------------------------------------------------------------------------------

row() { printf '%-38s %14s %14s %8s   %s\n' "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
ms() { awk -v a="$1" 'BEGIN {printf "%.1f ms", a / 1000}'; }
mb() { awk -v a="$1" 'BEGIN {printf "%.1f MB", a / 1000 * 1.024}'; }
