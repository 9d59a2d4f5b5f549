# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# peer - Debian's containerd, run by a test's file for itself: `peer images ls` is its ctr.

peer_start()
{
	mkdir -p "$T/peer"
	printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$T/peer.toml"
	containerd --config "$T/peer.toml" --root "$T/peer/root" --state "$T/peer/state" \
	    --address "$T/peer/sock" </dev/null >"$T/peer.log" 2>&1 3>&- &
	echo $! >"$T/peer.pid"
	disown
	wait_until 20 peer version
}
peer() { /usr/bin/ctr --address "$T/peer/sock" "$@" 3>&-; }
peer_stop()
{
	local pid

	pid=$(cat "$T/peer.pid" 2>/dev/null) || return 0
	kill "$pid" 2>/dev/null || true
	rm -f "$T/peer.pid"
	wait_until 10 gone "$pid"
}
