#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-random - workers killed at random moments while clients work: every client is served as if nothing
# had happened, nothing is lost, nothing is left. COFFER_SEED repeats a run; it is printed.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[supervisor]\nbackoff-limit = 1\n' >"$T/config.toml"
	registry_start main "$COFFER_FIXTURES/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	coffer_start
	ctr images pull "$REG/coffer/busybox:latest"
	export BB=$REG/coffer/busybox:latest CTR=$COFFER_BUILD/ctr
	export COFFER_SEED=${COFFER_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $COFFER_SEED" >&3
}
teardown_file() { harness_down; }

# killer SECONDS WHO...: kills one of them every 50 to 450 ms
killer()
{
	local end=$((SECONDS + $1)) who pid
	shift
	RANDOM=$COFFER_SEED
	while ((SECONDS < end)); do
		sleep "0.$((RANDOM % 400 + 500))"
		local names=("$@")
		who=${names[RANDOM % ${#names[@]}]}
		pid=$(pgrep -x "coffer-$who" | head -n 1) || continue
		kill -KILL "$pid" 2>/dev/null && echo "$who" >>"$T/killed"
	done
}

# client N SECONDS: containers from the cradle to the grave, each checked
client()
{
	local n=$1 end=$((SECONDS + $2)) i=0 got status
	while ((SECONDS < end)); do
		i=$((i + 1)) status=0
		got=$("$CTR" run --rm "$BB" "rk-$n-$i" sh -c "echo $n-$i; exit $((i % 100))" 2>&1) || status=$?
		if [[ $status != $((i % 100)) || $got != "$n-$i" ]]; then
			echo "rk-$n-$i: status $status, not $((i % 100)): $got" >>"$T/wrong"
		fi
		echo "$n-$i" >>"$T/done"
	done
}

storm()
{
	rm -f "$T/wrong" "$T/done" "$T/killed"
	killer 12 "$@" 3>&- &
	local k=$!
	client a 12 3>&- &
	local a=$!
	client b 12 3>&- &
	local b=$!
	wait "$k" "$a" "$b" || true
	wait_until 30 coffer_ready
	[[ ! -e $T/wrong ]] || fail "seed $COFFER_SEED, $(wc -l <"$T/killed") killed:" "$(<"$T/wrong")"
	(($(wc -l <"$T/done") >= 4)) || fail "only $(wc -l <"$T/done") containers in 12 s"
	ok ctr containers list -q
	assert_is ""
	nothing_left rk-
}

@test "task killed at random" { storm task; }
@test "snapshot killed at random" { storm snapshot; }
@test "content and events killed at random" { storm content events; }
@test "any of them killed at random" { storm content snapshot task events; }

@test "pulls and removes while content and snapshot are killed" {
	local i k
	killer 10 content snapshot 3>&- &
	k=$!
	for i in 1 2 3 4; do
		ok ctr images pull "$REG/coffer/layers:latest"
		ok ctr run --rm "$REG/coffer/layers:latest" rk-pull cat /data/back /data/replaced
		assert_is "$(printf 'three\ntwo')"
		ok ctr images remove "$REG/coffer/layers:latest"
	done
	wait "$k" || true
	wait_until 30 coffer_ready
	ok ctr images list -q
	assert_is "$BB"
	wait_until 10 nothing_left rk-
}
