#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-userns - containers in user namespaces: who they are inside, outside and on disk.

load ../lib/harness.bash

setup_file()
{
	harness_up
	BB=$(pulled busybox)
	MAP=(--uidmap 0:100000:65536 --gidmap 0:200000:65536)
	export BB
}
setup() { MAP=(--uidmap 0:100000:65536 --gidmap 0:200000:65536); }
teardown_file() { harness_down; }

# upper KEY: the folder that holds what was written to a snapshot
upper()
{
	ctr snapshots mounts "$1" /x --format json 2>/dev/null | jq -er '.[0].options[] | select(startswith("upperdir=")) | .[9:]' ||
	    sed -n "s,.* $STATE/bundles/default/$1/rootfs .*upperdir=\([^,]*\).*,\1,p" /proc/self/mountinfo
}

@test "inside it is the image's: its owners, root, and whoever it becomes" {
	ok ctr run --rm "${MAP[@]}" "$BB" bu-id sh -c 'id -u; id -g; stat -c %u:%g / /etc /bin/busybox
	    cat /proc/self/uid_map /proc/self/gid_map | tr -s " "
	    touch /new && chown 33:1235 /new && stat -c %u:%g /new /dev/pts'
	assert_is "$(printf '%s\n' 0 0 0:0 0:0 0:0 ' 0 100000 65536' ' 0 200000 65536' 33:1235 0:0)"
	ok ctr run --rm "${MAP[@]}" --user alice "$BB" bu-id sh -c 'id -u; echo "to stdout" >/dev/stdout'
	assert_is "$(printf '1234\nto stdout')"
	nothing_left bu-id
}

@test "outside it is nobody: its processes, its way through the bundle" {
	local pid bundle=$STATE/bundles/default/bu-out

	ok ctr run -d "${MAP[@]}" "$BB" bu-out sleep 1000
	pid=$(container_pid bu-out)
	[[ $(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$pid/status") == 100000 ]]
	[[ $(sed -n 's/^Gid:\t\([0-9]*\).*/\1/p' "/proc/$pid/status") == 200000 ]]
	[[ $(stat -c %a:%u:%g "$bundle") == 710:0:200000 && $(stat -c %a:%u "$bundle/config.json") == 600:0 ]]
	[[ $(stat -c %u:%g "/proc/$pid/root/") == 100000:200000 ]]
	ok ctr containers delete --force bu-out
	nothing_left bu-out
}

@test "on disk it is as without: what is written has the ids of inside, and is there at the next start" {
	local upper

	ok ctr containers create "${MAP[@]}" "$BB" bu-disk sh -c \
	    'stat -c %u:%g /etc/passwd /mine 2>/dev/null; touch /mine; chown 5:6 /etc/passwd /mine; ls -ln /etc/passwd >/dev/null'
	ok ctr containers start bu-disk
	wait_until 10 is_status bu-disk stopped
	upper=$(echo "$ROOT"/snapshot/*/*/fs/mine)
	[[ $(stat -c %u:%g "$upper" "${upper%mine}etc/passwd" | sort -u) == 5:6 ]]
	kill_worker task
	ok ctr tasks delete bu-disk
	ok ctr containers start bu-disk
	wait_until 10 is_status bu-disk stopped
	ok ctr containers logs bu-disk
	assert_is "$(printf '0:0\n5:6\n5:6')"
	ok ctr containers info bu-disk
	[[ $(jq -c '[.uidmap, .gidmap, .spec.linux.uidMappings[0].hostID]' <<<"$output") == \
	    '[["0:100000:65536"],["0:200000:65536"],100000]' ]]
	ok ctr containers delete --force bu-disk
	nothing_left bu-disk
}

@test "exec, logs, signals, pause, terminal and input" {
	ok ctr run -d "${MAP[@]}" "$BB" bu-live sh -c 'trap "echo got it" HUP; echo up; while :; do sleep 0.1; done'
	ok ctr containers exec bu-live sh -c 'id -u; cat /proc/self/uid_map | tr -s " "; echo x >/dev/stderr'
	assert_is "$(printf '0\n 0 100000 65536')"
	ok ctr containers exec --user 33:33 bu-live sh -c 'id -u; echo "written" >/dev/stdout'
	assert_is "$(printf '33\nwritten')"
	run on_terminal 'expect:# ' 'send:tty; id -u; exit 3\n' 'expect:/dev/pts/0' 'expect:0' -- \
	    "$COFFER_BUILD/ctr" containers exec -t bu-live sh
	assert_status 3
	run --separate-stderr bash -c 'echo in | "$COFFER_BUILD/ctr" containers exec -i bu-live cat'
	assert_is in
	ok ctr tasks pause bu-live
	ok ctr tasks resume bu-live
	ok ctr tasks kill -s HUP bu-live
	wait_until 10 logged bu-live "got it"
	ok ctr containers delete --force bu-live
	nothing_left bu-live
}
logged() { ctr containers logs "$1" | grep -q "$2"; }

@test "the shapes of a mapping: one for both, several, few ids" {
	ok ctr run --rm --uidmap 0:100000:70000 "$BB" bu-shape sh -c 'cat /proc/self/gid_map | tr -s " "'
	assert_is ' 0 100000 70000'
	ok ctr run --rm --gidmap 0:100000:70000 "$BB" bu-shape sh -c 'cat /proc/self/uid_map | tr -s " "'
	assert_is ' 0 100000 70000'
	ok ctr run --rm --uidmap 0:100000:1000 --uidmap 1000:300000:1000 --gidmap 0:100000:2000 "$BB" bu-shape \
	    sh -c 'cat /proc/self/uid_map | tr -s " "; touch /f && chown 1001 /f && stat -c %u /f'
	assert_is "$(printf ' 0 100000 1000\n 1000 300000 1000\n1001')"
	# Of what has no id inside it is seen who: nobody's. The group tty has none either.
	ok ctr run --rm --tty --uidmap 0:100000:1 "$BB" bu-shape sh -c 'id -u; stat -c %u /home/alice; tty'
	assert_has /dev/pts/0
	nothing_left bu-shape
}

@test "with the host's network, all rights, a read-only root, mounts and limits" {
	mkdir -p "$T/share" && chown 100000:200000 "$T/share"
	ok ctr run --rm "${MAP[@]}" --net-host "$BB" bu-more sh -c 'id -u; readlink /proc/self/ns/net; ls /sys/class/net >/dev/null'
	assert_is "$(printf '0\n%s' "$(readlink /proc/self/ns/net)")"
	ok ctr run --rm "${MAP[@]}" --privileged "$BB" bu-more sh -c 'mkdir /m && mount -t tmpfs x /m && id -u; mknod /n b 7 0 2>/dev/null || echo "no device"'
	assert_is "$(printf '0\nno device')"
	run ctr run --rm "${MAP[@]}" --read-only "$BB" bu-more touch /file
	assert_match 'Read-only'
	ok ctr run --rm "${MAP[@]}" --memory 64m --mount "type=bind,src=$T/share,dst=/in,options=rbind:rw" \
	    --mount type=tmpfs,dst=/t,options=size=1m "$BB" bu-more sh -c 'touch /in/made /t/made && stat -c %u /in/made'
	assert_is 0
	[[ $(stat -c %u:%g "$T/share/made") == 100000:200000 ]]
	nothing_left bu-more
}

@test "a service that becomes somebody else and logs to /dev/stdout; who has no id is refused" {
	ok ctr run -d "${MAP[@]}" "$(pulled nginx)" bu-web
	wait_until 10 ctr containers exec bu-web wget -qO- http://127.0.0.1/
	ok ctr containers logs bu-web
	assert_has '"GET / HTTP/1.1" 200'
	[[ -n $(find /proc -maxdepth 1 -path '/proc/[0-9]*' -uid 100033 2>/dev/null) ]]
	refused 125 'unmapped user' ctr containers exec --user 70000 bu-web true
	ok ctr containers delete --force bu-web
	nothing_left bu-web
}

@test "two containers with other mappings share the layers" {
	ok ctr run -d --uidmap 0:100000:65536 "$BB" bu-one sleep 1000
	ok ctr run -d --uidmap 0:300000:65536 "$BB" bu-two sleep 1000
	ok ctr run -d "$BB" bu-three sleep 1000
	[[ $(stat -c %u "/proc/$(container_pid bu-one)/root/bin/busybox") == 100000 ]]
	[[ $(stat -c %u "/proc/$(container_pid bu-two)/root/bin/busybox") == 300000 ]]
	[[ $(stat -c %u "/proc/$(container_pid bu-three)/root/bin/busybox") == 0 ]]
	ok ctr containers delete --force bu-one bu-two bu-three
	nothing_left bu-
}

@test "every snapshotter that works here: the same" {
	local s

	while read -r s; do
		ok ctr run --rm --snapshotter "$s" "${MAP[@]}" "$BB" bu-each sh -c 'stat -c %u:%g / /bin/busybox; touch /x && chown 7 /x && stat -c %u /x'
		assert_is "$(printf '0:0\n0:0\n7')" || fail "$s" || return 1
		nothing_left bu-each || return 1
	done < <(ctr plugins list --format json | jq -r '.[] | select(.works) | .name')
}

@test "crun where it works" {
	if ! ctr run --rm --runtime crun "$BB" bu-crun true; then
		skip "crun does not work on this host: $(ctr run --rm --runtime crun "$BB" bu-crun true 2>&1 | head -c 200)"
	fi
	ok ctr run --rm --runtime crun "${MAP[@]}" "$BB" bu-crun sh -c 'id -u; stat -c %u / /bin/busybox; echo out >/dev/stdout'
	assert_is "$(printf '0\n0\n0\nout')"
	nothing_left bu-crun
}

# other_disk TYPE: the daemon anew, with a root folder of its own on a filesystem of that type
other_disk()
{
	coffer_stop
	ROOT=$T/other
	mkdir -p "$ROOT" && mount -t "$1" "$1" "$ROOT" && chmod 711 "$ROOT" && coffer_start
}
own_disk()
{
	coffer_stop && umount "$T/other" && ROOT=$T/root && coffer_start
}

# ramfs has no idmapped mounts.
@test "a filesystem without idmapped mounts: owners are changed on disk, once" {
	local bb fs changed

	other_disk ramfs
	bb=$(pulled busybox)
	ok ctr containers create "${MAP[@]}" "$bb" bu-chown sh -c \
	    'stat -c %u:%g:%a / /bin/busybox /tmp; touch /mine; chown 7:7 /mine; stat -c %u /mine; cat /proc/self/uid_map | tr -s " "'
	ok ctr containers start bu-chown
	wait_until 10 is_status bu-chown stopped
	ok ctr containers logs bu-chown
	assert_is "$(printf '%s\n' 0:0:755 0:0:755 0:0:1777 7 ' 0 100000 65536')"
	fs=$(echo "$ROOT"/snapshot/*/*/fs/mine)
	[[ $(stat -c %u:%g "$fs" "${fs%mine}bin/busybox" "${fs%mine}") == "$(printf '100007:200007\n100000:200000\n100000:200000')" ]]
	[[ $(<"${fs%fs/mine}owners") == "$(printf '0:100000:65536\n0:200000:65536\ndone')" ]]
	changed=$(stat -c %z "${fs%mine}bin/busybox")
	ok ctr tasks delete bu-chown
	ok ctr containers start bu-chown
	wait_until 10 is_status bu-chown stopped
	[[ $(stat -c %z "${fs%mine}bin/busybox") == "$changed" ]]
	refused 1 'given to the users of a user namespace' ctr snapshots commit layer bu-chown
	refused 1 'given to the users of a user namespace' ctr snapshots diff bu-chown
	ok ctr containers delete --force bu-chown
	nothing_left bu-chown
	own_disk
}

@test "killed while owners are changed: refused from then on, and said what to do" {
	local bb fs

	other_disk ramfs
	bb=$(pulled busybox)
	ok ctr containers create "${MAP[@]}" "$bb" bu-half true
	fs=$(ctr snapshots mounts /x bu-half | sed -n 's/.*upperdir=\([^, ]*\)fs.*/\1/p')
	printf '0:100000:65536\n0:200000:65536\n' >"${fs}owners"
	refused 1 'changed in part.*delete the container and create it again' ctr containers start bu-half
	ok ctr containers delete --force bu-half
	nothing_left bu-half
	own_disk
}

@test "what is no mapping is refused in one line, and nothing is left" {
	local line before args
	before=$(state_now)
	while read -r line; do
		read -ra args <<<"${line%%|*}"
		refused 125 "${line##*|}" ctr run --rm "${args[@]}" "$BB" bu-bad true || return 1
		refused 2 "${line##*|}" ctr containers create "${args[@]}" "$BB" bu-bad true || return 1
	done <<-'END'
		--uidmap 0:100000|must be CONTAINER-ID:HOST-ID:SIZE
		--uidmap 0:100000:x|must be CONTAINER-ID:HOST-ID:SIZE
		--uidmap 0:-1:5|must be CONTAINER-ID:HOST-ID:SIZE
		--uidmap 0:100000:0|size is 0
		--gidmap 0:100000:0|size is 0
		--uidmap 0:100000:4294967296|ids end at 4294967294
		--uidmap 0:4294967290:10|ids end at 4294967294
		--uidmap 0:100000:10 --uidmap 5:200000:10|overlaps 0:100000:10
		--uidmap 0:100000:10 --gidmap 0:1:5 --gidmap 5:3:1|overlaps 0:1:5
		--uidmap 1:100000:10|user id 0 of the container has no mapping
		--uidmap 0:100000:10 --user 10|user id 10 of the container has no mapping
		--uidmap 0:100000:10 --user 1:10|group id 10 of the container has no mapping
	END
	mapfile -t args < <(seq 0 340 | sed 's/.*/--uidmap=&:10000&:1/')
	refused 125 'the kernel takes at most 4095 bytes of mappings' ctr run --rm "${args[@]}" "$BB" bu-bad true
	[[ $(state_now) == "$before" ]]
	nothing_left bu-bad
}
