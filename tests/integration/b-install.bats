#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-install - make install puts everything where it belongs, what is installed works from there, and
# make uninstall takes all of it away.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	make --no-print-directory -C "$harness_top" install DESTDIR="$T/dest" PREFIX=/usr >"$T/install.log" 2>&1
}
teardown_file() { harness_down; }

@test "programs, workers, man page, completion, unit, users and configuration are there" {
	local f
	for f in usr/bin/cofferd usr/bin/ctr usr/bin/containerd-shim-coffer-v1 \
	    usr/libexec/coffer/coffer-content usr/libexec/coffer/coffer-snapshot \
	    usr/libexec/coffer/coffer-task usr/libexec/coffer/coffer-events; do
		[[ -x $T/dest/$f ]] || fail "no $f" "$(cat "$T/install.log")"
	done
	for f in usr/share/man/man1/ctr.1 usr/share/man/man8/cofferd.8 usr/share/bash-completion/completions/ctr \
	    usr/lib/systemd/system/cofferd.service usr/lib/sysusers.d/coffer.conf etc/coffer/config.toml; do
		[[ -s $T/dest/$f ]] || fail "no $f" "$(cat "$T/install.log")"
	done
}

@test "the unit says what systemd must know" {
	local unit=$T/dest/usr/lib/systemd/system/cofferd.service want
	for want in Type=notify KillMode=process Delegate=yes ExecStart=/usr/bin/cofferd; do
		grep -q "^$want" "$unit" || fail "$want" "$(cat "$unit")"
	done
	run ! grep @ "$unit"
}

@test "no user was made, as DESTDIR says that this is a package" {
	run ! getent passwd coffer-task
}

@test "the man page is well-formed and names every command" {
	local page=$T/dest/usr/share/man/man1/ctr.1
	run bash -c 'LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null' bash "$page"
	assert_is ""
	for c in 'images pull' 'containers create' 'tasks exec' 'run'; do
		man -l "$page" 2>/dev/null | col -b | grep -q "$c" || fail "no $c"
	done
}

@test "the completion completes" {
	run bash -c '. "$1"; COMP_WORDS=(ctr ima); COMP_CWORD=1; COMP_LINE="ctr ima"; COMP_POINT=7
		f=$(complete -p ctr | sed -nE "s/.*-F ([^ ]+).*/\1/p"); $f ctr ima ctr; echo "${COMPREPLY[*]}"' \
	    bash "$T/dest/usr/share/bash-completion/completions/ctr"
	assert_has images
}

@test "the configuration that is installed is accepted as it is" {
	setsid "$COFFER_BUILD/cofferd" --config "$T/dest/etc/coffer/config.toml" --root "$T/root" \
	    --state "$T/state" </dev/null >"$T/log" 2>&1 3>&- &
	local pid=$!
	run wait_until 10 timeout 5 "$COFFER_BUILD/ctr" images list
	kill "$pid"
	wait "$pid" || true
	assert_status 0
}

@test "what is installed finds its workers, wherever the prefix is" {
	setsid "$T/dest/usr/bin/cofferd" --root "$T/root" --state "$T/state" </dev/null >"$T/log" 2>&1 3>&- &
	local pid=$! exe
	run wait_until 10 timeout 5 "$T/dest/usr/bin/ctr" images list
	exe=$(readlink "/proc/$(pgrep -x coffer-task)/exe")
	kill "$pid"
	wait "$pid" || true
	assert_status 0
	[[ $exe == "$T/dest/usr/libexec/coffer/coffer-task" ]] || fail "$exe"
}

@test "uninstall leaves nothing" {
	make --no-print-directory -C "$harness_top" uninstall DESTDIR="$T/dest" PREFIX=/usr >/dev/null 2>&1
	run find "$T/dest" -type f
	assert_is ""
}
