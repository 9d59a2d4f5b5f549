#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-faithful-layers - what layers may hold, entry for entry as GNU tar extracts it, by each snapshotter: attributes,
# links, nodes, names of any bytes, long paths, times of any year, large and sparse files, entries that come twice,
# and what changes its kind from layer to layer.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	mkdir "$T/m"
	export ALL
	make_kinds
	make_changes
	coffer_start
	ALL=$(ctr plugins list --format json | jq -r '.[] | select(.works) | .name' | tr '\n' ' ')
}
teardown_file()
{
	umount -l "$T/m" 2>/dev/null || true
	harness_down
}

pack() { tar --format=posix --sort=name --numeric-owner --xattrs --xattrs-include='*' -S -cf "$2" -C "$1" .; }
# Names of folders end in a slash; what else takes a folder's place needs it to go before.
reference()
{
	local name
	while read -r name; do
		case ${name##*/} in
		.wh..wh..opq) find "$2/${name%/*}" -mindepth 1 -delete ;;
		.wh.*) rm -rf "${2:?}/${name%/*}/${name##*/.wh.}" ;;
		?*) [[ ! -d $2/$name || -L $2/$name ]] || rm -rf "${2:?}/$name" ;;
		esac
	done < <(tar -tf "$1")
	tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --exclude='.wh.*' -xf "$1" -C "$2"
}
image() { "$harness_lib/oci-image" image "$T/images/$1" "$1" --config '{"Cmd":["sh"]}' "${@:2}"; }

# All that one layer can hold.
make_kinds()
{
	local d=$T/kinds name
	mkdir -p "$d"/{dir,empty,links/below} "$T/kinds.is"
	echo text >"$d/file"
	truncate -s 0 "$d/none"
	head -c 4096 /dev/urandom >"$d/block"
	head -c 300001 /dev/urandom >"$d/blocks-and-tail"
	ln "$d/file" "$d/links/again" && ln "$d/file" "$d/links/below/and-again"
	ln -s ../file "$d/links/soft" && ln -s /no/such "$d/dangling" && ln -s "$(printf 'x%.0s' {1..4095})" "$d/longest-link"
	ln "$d/dangling" "$d/links/dangling-too"
	mkfifo -m 620 "$d/fifo" && ln "$d/fifo" "$d/links/fifo-too"
	mknod -m 660 "$d/null" c 1 3 && mknod "$d/disk" b 259 1048575 && mknod "$d/large" c 4095 7
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$d/socket"
	name=$(printf 'n%.0s' {1..255})
	echo long >"$d/$name" && mkdir "$d/dir/$name"
	echo bytes >"$d/"$'\xff\xfe \x01 \n \\ "quotes" \x80'
	echo utf >"$d/ünïcödé ☃"
	# A path of 4,095 bytes.
	(cd "$d" && for _ in {1..15}; do mkdir "$name" 2>/dev/null || { rm "$name"; mkdir "$name"; }; cd "$name" || exit 1; done
	    echo deep >"$(printf 'd%.0s' {1..250})")
	setfattr -n user.one -v 1 "$d/file" && setfattr -n user.two -v "$(head -c 2000 /dev/zero | tr '\0' v)" "$d/file"
	setfattr -n user.dir -v "" "$d/dir"
	setcap cap_net_raw+ep "$d/block"
	setfacl -m u:1000:rw,g:7:r "$d/file" 2>/dev/null && setfacl -d -m u:1000:rwx "$d/dir" || echo "# no ACLs on this disk" >&3
	chown 1000:1001 "$d/dir" && chown -h 2147483647:65534 "$d/dangling" && chown 70000:70001 "$d/none"
	chmod 4711 "$d/none" && chmod 2755 "$d/dir" && chmod 1777 "$d/empty" && chmod 000 "$d/blocks-and-tail"
	truncate -s 10G "$d/sparse" && echo end | dd of="$d/sparse" bs=1 seek=$(((10 << 30) - 4)) conv=notrunc status=none
	echo middle | dd of="$d/sparse" bs=1M seek=5000 conv=notrunc status=none
	truncate -s 3M "$d/holes-only"
	touch -d '1901-12-14 00:00:00.123456789 UTC' "$d/block" && touch -d '1969-12-31 23:59:58.5 UTC' "$d/none"
	touch -d '2155-02-07 06:28:15.999999999 UTC' "$d/empty" && touch -d '2040-01-01 00:00:00.000000001 UTC' "$d/sparse"
	touch -h -d '2001-09-09 01:46:40.111111111 UTC' "$d/dangling"
	touch -d '1999-01-01 00:00:00.222222222 UTC' "$d/dir" "$d"
	pack "$d" "$T/kinds.tar" 2>"$T/tar.err"
	grep -q 'socket ignored' "$T/tar.err"
	# Entries that come twice: the last one counts.
	mkdir -p "$T/twice/dir" && echo first >"$T/twice/twice" && echo other >"$T/twice/dir/f" && pack "$T/twice" "$T/kinds.2"
	touch -r "$T/twice" "$T/twice.before"
	echo last >"$T/twice/twice" && chmod 600 "$T/twice/twice" && rm -r "$T/twice/dir" && ln -s twice "$T/twice/dir"
	tar --format=posix --numeric-owner -cf "$T/kinds.3" -C "$T/twice" twice dir
	mkdir "$T/twice.is" && reference "$T/kinds.2" "$T/twice.is" && reference "$T/kinds.3" "$T/twice.is"
	touch -r "$T/twice.before" "$T/twice.is"
	tar --concatenate -f "$T/kinds.2" "$T/kinds.3"
	reference "$T/kinds.tar" "$T/kinds.is"
	image kinds "gzip:$T/kinds.tar"
	image twice "gzip:$T/kinds.2"
}

# Three layers in which names change what they are.
make_changes()
{
	local d=$T/changes n layers=()
	mkdir -p "$d/1"/{a/b,gone/deep,opaque/old,stays} "$d/2"/{opaque,file,stays} "$d/3"/{a/c,gone} "$T/changes.is"
	echo 1 | tee "$d/1/a/b/f" "$d/1/gone/deep/f" "$d/1/opaque/old/f" "$d/1/file" "$d/1/stays/1" "$d/1/link-to-be" >/dev/null
	ln "$d/1/stays/1" "$d/1/stays/2"
	ln -s a "$d/1/soft"
	echo 2 >"$d/2/a" # a folder before
	: >"$d/2/.wh.gone"; : >"$d/2/.wh.never-was"; : >"$d/2/opaque/.wh..wh..opq"; : >"$d/2/stays/.wh.1"
	echo 2 | tee "$d/2/opaque/new" "$d/2/file/in" >/dev/null # "file" was one
	mkdir "$d/2/soft" && echo 2 >"$d/2/soft/f"
	ln -s file "$d/2/link-to-be"
	echo 3 >"$d/3/a/c/f" # and a folder again
	echo 3 >"$d/3/file"
	echo 3 >"$d/3/gone/f"
	: >"$d/3/opaque.wh.none"; : >"$d/3/.wh.link-to-be"
	for n in 1 2 3; do
		find "$d/$n" -exec touch -h -d "2020-0$n-01 00:00:00.$n UTC" {} +
		pack "$d/$n" "$d/$n.tar"
		layers+=("gzip:$d/$n.tar")
		reference "$d/$n.tar" "$T/changes.is"
	done
	image changes "${layers[@]}"
}
# same NAME: mounted, by each snapshotter, it is the tree $T/NAME.is
same()
{
	local s bad=
	"$harness_lib/tree_entries.py" "$T/$1.is" >"$T/$1.want"
	for s in $ALL; do
		ok ctr images import --base-name f --snapshotter "$s" "$T/images/$1"
		ok ctr images mount --snapshotter "$s" "f:$1" "$T/m"
		"$harness_lib/tree_entries.py" "$T/m" >"$T/$1.$s"
		ok ctr images unmount "$T/m"
		# All of a file of an image is blocks to Linux, whatever it takes in the image.
		[[ $s != erofs ]] || sed -i 's/ no holes is / holes is /' "$T/$1.$s"
		diff "$T/$1.want" "$T/$1.$s" >"$T/$1.$s.diff" || { bad+=" $s"; cut -c 1-600 "$T/$1.$s.diff" >&2; }
	done
	[[ -z $bad ]] || fail "not as GNU tar has it: $bad"
}

@test "every kind of entry, name, attribute, time and size" {
	[[ $(wc -l <"$T/tar.err") == 1 ]]
	same kinds
	(($(du -smx "$ROOT/snapshot" | cut -f 1) < 20)) || fail "holes take room: $(du -smx "$ROOT"/snapshot/*/*)"
}

@test "entries that come twice" {
	same twice
}

@test "folders become files and folders again; whiteouts, of what is not there too" {
	same changes
}

@test "umoci unpacks the same of it" {
	umoci unpack --image "$T/images/changes:changes" "$T/u" >&2
	"$harness_lib/tree_entries.py" "$T/u/rootfs" | diff "$T/changes.want" - >&2
}

@test "100,000 entries" {
	local s
	python3 - "$T/many.tar" <<-'END'
		import sys, tarfile
		with open(sys.argv[1], "wb") as f:
		    for d in range(100):
		        t = tarfile.TarInfo(f"d{d}"); t.type = tarfile.DIRTYPE; t.mode = 0o755; t.mtime = d
		        f.write(t.tobuf(tarfile.USTAR_FORMAT))
		        for i in range(1000):
		            t = tarfile.TarInfo(f"d{d}/{i}"); t.mtime = i; t.uid = i
		            f.write(t.tobuf(tarfile.USTAR_FORMAT))
		    f.write(bytes(1024))
	END
	image many "gzip:$T/many.tar"
	mkdir "$T/many.is" && tar --numeric-owner --same-owner -xf "$T/many.tar" -C "$T/many.is"
	touch -d @0 "$T/many.is" "$T/m"
	(cd "$T/many.is" && find . -mindepth 1 -printf '%P %y %m %U %s %T@\n' | sed 's/ d \(.* \)[0-9]* / d \1/' | sort) >"$T/many.want"
	for s in erofs overlay; do
		[[ " $ALL " == *" $s "* ]] || continue
		ok ctr images import --base-name f --snapshotter "$s" "$T/images/many"
		ok ctr images mount --snapshotter "$s" f:many "$T/m"
		(cd "$T/m" && find . -mindepth 1 -printf '%P %y %m %U %s %T@\n' | sed 's/ d \(.* \)[0-9]* / d \1/' | sort) >"$T/many.$s"
		ok ctr images unmount "$T/m"
		cmp "$T/many.want" "$T/many.$s"
		[[ $(wc -l <"$T/many.$s") == 100100 ]]
	done
}
