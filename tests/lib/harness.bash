# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119,SC2120
#
# harness - what every bats file here stands on: a daemon of its own, a registry of its own, and
# ways to wait for things instead of sleeping.
#
# A file runs alone in fresh network, mount and process namespaces (tests/check makes them): ports
# are its own, and what it leaves behind can be seen whole, as every process and mount there is its.
#
#   setup_file() { harness_up; }		images, open registry at $REG, daemon with $ROOT and $STATE
#   setup_file() { harness_up bare; }	scratch folder only
#   teardown_file() { harness_down; }	stops all; keeps the folder when a test failed
#
# $COFFER_BUILD  folder of the programs (build); $COFFER_FIXTURES  images made before (or made here)
bats_require_minimum_version 1.5.0

harness_lib=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
harness_top=$(cd "$harness_lib/../.." && pwd)
export COFFER_BUILD=${COFFER_BUILD:-$harness_top/build}
# shellcheck source=tests/lib/images.bash
. "$harness_lib/images.bash"
# shellcheck source=tests/lib/registry.bash
. "$harness_lib/registry.bash"

# --- waiting ---------------------------------------------------------------------------------------

# wait_until SECONDS COMMAND...: until it succeeds; fails, saying so, when it never does.
wait_until()
{
	local limit=$1 end
	shift

	end=$((${EPOCHREALTIME/./} + limit * 1000000))
	until "$@" >/dev/null 2>&1; do
		if ((${EPOCHREALTIME/./} > end)); then
			printf 'waited %s s in vain for: %s\n' "$limit" "$*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# gone PID: it does not run any more (a zombie does not run)
gone()
{
	[[ $(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) != [RSDTt] ]]
}

# running PATTERN...: pids of processes whose program's file has a name like that
running()
{
	local p

	for p in "$@"; do
		find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "*/$p" 2>/dev/null
	done | cut -d / -f 3
}
shims() { running 'containerd-shim*'; }
no_shims() { [[ -z $(shims) ]]; }
# The daemon's own processes, shims not.
crew() { running cofferd 'coffer-*'; }
no_crew() { [[ -z $(crew) ]]; }

# now_ms: milliseconds since 1970
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# --- the programs ----------------------------------------------------------------------------------

# As a user types it; bounded, so that a hang is a failure and not a stop. CTR_LIMIT: seconds.
ctr()
{
	timeout --foreground -k 2 "${CTR_LIMIT:-60}" "$COFFER_BUILD/ctr" "$@" 3>&-
}

# coffer_start [ARGUMENT...]: the daemon on $ROOT and $STATE, until its workers answer
coffer_start()
{
	local extra=()

	[[ ! -e $T/config.toml ]] || extra=(--config "$T/config.toml")
	setsid "$COFFER_BUILD/cofferd" --root "$ROOT" --state "$STATE" "${extra[@]}" "$@" \
	    </dev/null >>"$T/cofferd.log" 2>&1 3>&- &
	COFFERD_PID=$!
	disown "$COFFERD_PID"
	echo "$COFFERD_PID" >"$T/cofferd.pid"
	if ! wait_until 20 coffer_ready_or_dead || ! coffer_ready; then
		printf 'cofferd did not get ready; its last words (%s):\n' "$T/cofferd.log" >&2
		tail -n 20 "$T/cofferd.log" >&2
		return 1
	fi
}
coffer_ready_or_dead() { gone "$COFFERD_PID" || coffer_ready; }
coffer_ready()
{
	[[ $(ctr workers --format json | jq -r '[.[] | select(.state == "running")] | length') == 4 ]]
}

coffer_pid() { cat "$T/cofferd.pid"; }

# coffer_stop [SIGNAL]: ends the daemon and waits for it; containers go on
coffer_stop()
{
	local pid

	pid=$(coffer_pid 2>/dev/null) || return 0
	kill "-${1:-TERM}" "$pid" 2>/dev/null || true
	wait_until 20 gone "$pid" || return 1
	rm -f "$T/cofferd.pid"
	# What it started ends by itself, but for shims.
	wait_until 10 no_crew
}

# worker_pid NAME
worker_pid()
{
	ctr workers --format json | jq -er --arg n "$1" '.[] | select(.name == $n) | .pid | select(. > 0)'
}

# kill_worker NAME [SIGNAL]: and waits until its successor answers
kill_worker()
{
	local pid

	pid=$(worker_pid "$1") || return 1
	kill "-${2:-KILL}" "$pid" || return 1
	wait_until 15 worker_is_new "$1" "$pid"
}
worker_is_new()
{
	local pid

	pid=$(worker_pid "$1") && [[ $pid != "$2" ]] && coffer_ready
}

# --- set-up ----------------------------------------------------------------------------------------

# Makes images and the storage of a registry once per run, below $COFFER_FIXTURES.
fixtures_make()
{
	local dir=$1

	[[ ! -e $dir/done ]] || return 0
	images_make "$dir/images" && registry_start fixtures "$dir/registry" &&
	    images_push "$dir/images" "127.0.0.1:$REGISTRY_FIXTURES_PORT" || return 1
	registry_stop fixtures
	touch "$dir/done"
}

harness_scratch()
{
	# STATE must stay short: socket paths end at 107 bytes.
	T=$(mktemp -d /tmp/coffer.XXXXXX) || return 1
	chmod 711 "$T"
	ROOT=$T/root STATE=$T/state
	export T ROOT STATE COFFER_ADDRESS=$STATE
	unset CONTAINERD_ADDRESS CONTAINERD_NAMESPACE COFFER_NAMESPACE
}

harness_up()
{
	if [[ -z ${COFFER_TEST_NS-} ]]; then
		echo "run this file with: tests/check it ${BATS_TEST_FILENAME#"$harness_top/"}" >&2
		return 1
	fi
	harness_scratch || return 1
	[[ ${1-} != bare ]] || return 0
	if [[ -z ${COFFER_FIXTURES-} ]]; then
		export COFFER_FIXTURES=$T/fixtures
		fixtures_make "$COFFER_FIXTURES" || return 1
	fi
	registry_start main "$COFFER_FIXTURES/registry" || return 1
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	coffer_start || return 1
}

# Ends whatever of ours still runs in this file's namespace.
harness_kill_all()
{
	local pid

	for pid in $(running cofferd 'coffer-*' 'containerd-shim*' docker-registry); do
		kill -KILL "$pid" 2>/dev/null
	done
}

harness_down()
{
	local id

	if [[ -e $T/keep ]]; then
		printf '# kept for you to look at: %s\n' "$T" >&3
		tail -n 15 "$T/cofferd.log" 2>/dev/null | sed 's/^/#   /' >&3
	else
		for id in $(ctr containers list -q 2>/dev/null); do
			ctr containers delete --force "$id" >/dev/null 2>&1 || true
		done
	fi
	coffer_stop 2>/dev/null || true
	registry_stop main
	evil_stop
	harness_kill_all
	wait_until 5 no_shims || true
	# What a failed test left: these groups are this daemon's alone.
	find /sys/fs/cgroup -depth -type d -path "*/$(cgroup_root)*" -exec rmdir {} + 2>/dev/null || true
	[[ -e $T/keep ]] || rm -rf --one-file-system "$T" 2>/dev/null || true
}

# After each test; a failure keeps the folder, and what the test left must not fail the next ones.
# KEEP: containers of the whole file.
teardown()
{
	local id

	[[ -z ${BATS_TEST_COMPLETED-} && -z ${BATS_TEST_SKIPPED-} ]] || return 0
	: >"$T/keep"
	for id in $(CTR_LIMIT=10 ctr containers list -q 2>/dev/null); do
		[[ " ${KEEP-} " == *" $id "* ]] ||
		    CTR_LIMIT=10 ctr containers delete --force "$id" >/dev/null 2>&1 || true
	done
}

# --- the content store -----------------------------------------------------------------------------

# store_whole: every blob's bytes are what its name says, and every image that is listed has all that
# its manifests name
store_whole()
{
	local blobs=$ROOT/content/blobs/sha256 digest

	(cd "$blobs" && find . -type f -printf '%f  %f\n' >"$T/sums" &&
	    { [[ ! -s $T/sums ]] || sha256sum -c --quiet --strict "$T/sums"; }) >&2 ||
	    fail "damaged blobs" || return 1
	while read -r digest; do
		store_tree "$blobs" "${digest#sha256:}" || return 1
	done < <(ctr images list --format json | jq -r '.[].target.digest')
}
# store_tree FOLDER HEX: this document, and below it what is of this host's platform
store_tree()
{
	local digest

	[[ -e $1/$2 ]] || fail "missing: $2" || return 1
	while read -r digest; do
		[[ -e $1/${digest#sha256:} ]] || fail "missing: $digest of $2" || return 1
	done < <(jq -r '(.config.digest // empty), (.layers // [])[].digest' "$1/$2")
	while read -r digest; do
		store_tree "$1" "${digest#sha256:}" || return 1
	done < <(jq -r '(.manifests // [])[] | select(.platform.architecture == "amd64") | .digest' "$1/$2")
}
# store_empty: no blob, no row of one, no rest of a download, no snapshot
store_empty()
{
	local found

	found=$(find "$ROOT/content/blobs" "$ROOT/content/ingest" -type f)
	[[ -z $found ]] || fail "files: $found" || return 1
	found=$(ctr content list -q)
	[[ -z $found ]] || fail "rows of blobs: $found" || return 1
	found=$(ctr snapshots list --format json | jq -r '.[].key')
	[[ -z $found ]] || fail "snapshots: $found" || return 1
}

content_pid() { running coffer-content; }

# all_gone: removes every image; then nothing is left, when garbage was collected and the worker is new
all_gone()
{
	local name
	while read -r name; do
		ok ctr images remove "$name" || return 1
	done < <(ctr images list -q)
	kill_worker content || return 1
	wait_until 10 store_empty || store_empty
}

# shot COMMAND...: up to $SHOT_MS (60) ms after its start one of the processes that $SHOT_WHO (content_pid) prints
# is killed; ends well, or says in one line why not
shot()
{
	local pids job status=0
	ctr "$@" <&0 >"$T/out" 2>"$T/err" &
	job=$!
	sleep "$(printf '0.%03d' $((RANDOM % ${SHOT_MS:-60})))"
	mapfile -t pids < <("${SHOT_WHO:-content_pid}")
	((${#pids[@]} > 0)) && kill -KILL "${pids[RANDOM % ${#pids[@]}]}" 2>/dev/null && killed=$((killed + 1))
	wait "$job" || status=$?
	((status == 0)) && return 0
	echo "$status: $*: $(<"$T/err")" >>"$T/refused"
	[[ $(<"$T/err") == "ctr: "* && $(wc -l <"$T/err") == 1 ]] || fail "status $status: $(<"$T/err")"
}

# --- a registry that misbehaves --------------------------------------------------------------------

# evil_start [ARGUMENT...]: sets $EVIL; it has the images of $EVIL_IMAGES, a layout
evil_start()
{
	local port

	evil_stop
	rm -f "$T/evil.port"
	/usr/bin/python3 "$harness_lib/evil_registry.py" "${EVIL_IMAGES:-$COFFER_FIXTURES/images}" "$@" \
	    </dev/null >"$T/evil.port" 2>"$T/evil.log" 3>&- &
	echo $! >"$T/evil.pid"
	disown
	wait_until 10 test -s "$T/evil.port" || return 1
	port=$(<"$T/evil.port")
	export EVIL=127.0.0.1:$port
}
evil_stop()
{
	local pid

	pid=$(cat "$T/evil.pid" 2>/dev/null) || return 0
	kill "$pid" 2>/dev/null || true
	rm -f "$T/evil.pid"
	wait_until 5 gone "$pid"
}
# evil_seen REGEX: how many requests came whose line matches
evil_seen() { curl -s "http://$EVIL/seen" | grep -cE -- "$1"; }
evil_forget() { curl -sf "http://$EVIL/forget"; }
# evil_sent REGEX: how many bytes of blobs were sent whose path matches
evil_sent() { curl -s "http://$EVIL/sent" | awk -v path="$1" '$2 ~ path {n += $1} END {print n + 0}'; }

# --- asserting -------------------------------------------------------------------------------------

fail()
{
	printf '%s\n' "$@" >&2
	return 1
}

# After run: the status, and what was printed when it is another one.
# shellcheck disable=SC2154
assert_status()
{
	[[ $status == "$1" ]] || fail "exit status $status, not $1" "out: $output" "err: ${stderr-}"
}
ok()
{
	run --separate-stderr "$@"
	assert_status 0
}
# assert_has STRING / assert_match REGEX: somewhere in the output
assert_has() { [[ $output == *"$1"* ]] || fail "not in the output: $1" "out: $output" "err: ${stderr-}"; }
assert_hasnt() { [[ $output != *"$1"* ]] || fail "in the output: $1" "out: $output"; }
assert_match() { grep -qE -- "$1" <<<"$output" || fail "no line like: $1" "out: $output" "err: ${stderr-}"; }
assert_is() { [[ $output == "$1" ]] || fail "not equal" "want: $1" "out:  $output" "err: ${stderr-}"; }

# refused STATUS REGEX COMMAND...: ends with the status, prints nothing to stdout and one line to
# stderr, which matches (case does not matter)
# shellcheck disable=SC2154
refused()
{
	local want=$1 regex=$2
	shift 2

	run --separate-stderr "$@"
	assert_status "$want" || return 1
	[[ -z $output || -n ${MAY_PRINT-} ]] || fail "printed: $output" || return 1
	[[ $stderr == "ctr: "* ]] || fail "does not start with the program's name: $stderr" || return 1
	[[ $stderr != *$'\n'* ]] || fail "more than one line: $stderr" || return 1
	((${#stderr} < 1000)) || fail "a line of ${#stderr} bytes" || return 1
	grep -qiE -- "$regex" <<<"$stderr" || fail "not like $regex: $stderr"
}

# The pids of all four workers, as one line; to see that nothing died.
workers_now()
{
	ctr workers --format json | jq -c '[.[] | [.name, .pid, .restarts]]'
}

# state_now: what the daemon holds; to see that a failed command changed nothing. Blobs that a failed
# pull completed may stay (the next pull uses them), ingests too.
state_now()
{
	ctr images list -q | sort
	ctr containers list -q | sort
	ctr snapshots list --format json | jq -c '[.[].key] | sort'
	ctr tasks list --format json | jq -c '[.[] | [.id, .status]] | sort'
}

# child_memory SECONDS: prints the largest peak of a child that unpacks, in kB, looking that often for as long as
# $T/running is there
child_memory()
{
	local most=0 now pid

	while [[ -e $T/running ]]; do
		for pid in $(pgrep -x coffer-unpack); do
			now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || true
			((${now:-0} <= most)) || most=$now
		done
		sleep "$1"
	done
	echo "$most"
}

half_made() { find "$ROOT/snapshot/new" "$ROOT/snapshot/trash" -mindepth 1 2>/dev/null | head -n 3; }
no_half_made() { [[ -z $(half_made) ]]; }

# nothing_left [ID...]: no process, mount, bundle or socket of a container, no snapshot to write in,
# and no control group of these names
nothing_left()
{
	local found id

	wait_until 5 no_shims || fail "shims: $(shims)" || return 1
	found=$(running runc crun)
	[[ -z $found ]] || fail "runtimes: $found" || return 1
	found=$(grep -F " $STATE/" /proc/self/mountinfo) && { fail "mounts: $found" || return 1; }
	found=$(find "$STATE/bundles" -mindepth 2 2>/dev/null) && [[ -n $found ]] && {
		fail "bundles: $found" || return 1
	}
	found=$(find "$STATE/s" -mindepth 1 2>/dev/null) && [[ -n $found ]] && {
		fail "sockets: $found" || return 1
	}
	# What was removed is emptied in the background.
	wait_until 10 no_half_made || fail "half-made layers: $(half_made)" || return 1
	found=$(ctr snapshots list --format json | jq -r '.[] | select(.kind != "committed") | .key')
	[[ -z $found ]] || fail "snapshots: $found" || return 1
	for id in "$@"; do
		found=$(cgroups_of "$id")
		[[ -z $found ]] || fail "control groups: $found" || return 1
	done
}
# cgroup_root: the name of this daemon's control groups (FNV-1a of its state folder)
cgroup_root()
{
	local i h=2166136261

	for ((i = 0; i < ${#STATE}; i++)); do
		h=$((((h ^ $(printf '%d' "'${STATE:i:1}")) * 16777619) & 0xffffffff))
	done
	printf 'coffer-%08x\n' "$h"
}
# cgroups_of [PREFIX]: the control groups of this daemon's containers whose names begin so
cgroups_of()
{
	# Others' groups come and go meanwhile.
	find /sys/fs/cgroup -mindepth 3 -type d -path "*/$(cgroup_root)/*/${1-}*" 2>/dev/null || true
}

# pulled NAME: the image is there (pulled once per file), its reference on stdout
pulled()
{
	ctr images pull "$REG/coffer/$1:latest" >/dev/null && echo "$REG/coffer/$1:latest"
}

# container_pid ID: of its process, on the host
container_pid()
{
	ctr tasks list --format json | jq -er --arg id "$1" '.[] | select(.id == $id) | .pid'
}
task_status()
{
	ctr tasks list --format json | jq -er --arg id "$1" '.[] | select(.id == $id) | .status'
}
is_status() { [[ $(task_status "$1") == "$2" ]]; }

# on_terminal STEP... -- COMMAND...: tests/lib/terminal.py
on_terminal() { "$harness_lib/terminal.py" "$@" 3>&-; }
