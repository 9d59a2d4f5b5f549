#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-push - the content worker killed at random moments of pushes: every push is done all the same, what is
# at the registry is what is here, and the store is untouched. COFFER_SEED repeats a run; it is printed.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	printf '[supervisor]\nbackoff-limit = 0\n' >"$T/config.toml"
	images_make "$T/images" tiny1 tiny2
	registry_start main "$T/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	coffer_start
	export COFFER_SEED=${COFFER_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $COFFER_SEED" >&3
}
teardown_file() { harness_down; }

@test "killed at 70 random moments of pushes" {
	local i name pid content digest
	RANDOM=$COFFER_SEED
	for name in tiny1 tiny2; do
		images_copy "oci:$T/images:$name" "docker://$REG/from/$name:latest"
		ok ctr images pull --no-unpack "$REG/from/$name:latest"
	done
	# A registry that knows nothing of these blobs each time: nothing is skipped or mounted.
	registry_start to "$T/to"
	for ((i = 1; i <= 70; i++)); do
		name=tiny$((RANDOM % 2 + 1))
		content=$(worker_pid content)
		ctr images push --chunk-size 16k "127.0.0.1:$REGISTRY_TO_PORT/r$i/$name:1" "$REG/from/$name:latest" >"$T/out" 2>&1 3>&- &
		pid=$!
		sleep "0.0$((RANDOM % 80 + 10))"
		kill -KILL "$content"
		wait "$pid" || fail "seed $COFFER_SEED, round $i: $(<"$T/out")" || return 1
		digest=$(curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
		    "http://127.0.0.1:$REGISTRY_TO_PORT/v2/r$i/$name/manifests/1" | sha256sum | cut -c 1-64)
		[[ -e $ROOT/content/blobs/sha256/$digest ]] || fail "round $i: another manifest" || return 1
		rm -rf "$T/to/storage/docker/registry/v2/blobs"
		wait_until 10 coffer_ready
	done
	ok ctr content verify
	[[ $(ctr images list -q | wc -l) == 2 ]]
	registry_stop to
}
