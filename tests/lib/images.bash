# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# images - real images, made there and then from what Debian installed.
#
#   images_make LAYOUT [NAME...]   makes the images (all when none is named) as tags of an OCI layout
#
#   busybox   busybox-static with all its applets: one gzip layer
#   nginx     nginx-light as installed, its libraries, ps and busybox: three layers. Its entrypoint
#             serves on $NGINX_PORT (80), so several can run on one network
#   layers    whiteouts, opaque folders, links, modes, an extended attribute: five layers
#   zstd      a zstd layer on an uncompressed one
#   multi     an index of linux/arm64, linux/amd64 and one more, each with its own content
#   foreign   an index without a manifest for this host
#   config    entrypoint and command, user by name, working folder, environment, stop signal
#   big       four layers of 12 MiB that do not compress
#   escape    a layer that tries to leave its folder
#
# Only when named:
#   tiny1, tiny2   three layers of 64 KiB that do not compress, two of them the same in both
#   wide           one layer of 40 MiB that does not compress
#   many           64 layers of 512 KiB that do not compress
#   heavy          four layers of 25 MB that do not compress
#   deep           128 layers on busybox: each has a file of its own, takes away one of the layer below it
#                  and writes /deep/top anew
#
# A layer is a folder, made below a work folder that is removed at the end, and packed with owner 0
# and a fixed time. Works as root only (device nodes and owners are not needed).

images_dir=${BASH_SOURCE[0]%/*}

images_all=(busybox nginx layers zstd multi foreign config big escape)

# images_tar FOLDER TAR
images_tar()
{
	tar --sort=name --mtime=@1700000000 --numeric-owner --owner=0 --group=0 --xattrs \
	    --xattrs-include='user.*' -cf "$2" -C "$1" .
}

# images_layer KIND FOLDER: packs it, prints KIND:TAR
images_layer()
{
	images_tar "$2" "$2.tar" && printf '%s:%s\n' "$1" "$2.tar"
}

# images_libs ROOT PROGRAM...: the programs, and the libraries that they name, at the same places
images_libs()
{
	local root=$1 f real dir
	shift

	mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
	for dir in bin sbin lib lib64; do
		[[ -e $root/$dir ]] || ln -s "usr/$dir" "$root/$dir"
	done
	{
		printf '%s\n' "$@"
		for f in "$@"; do
			ldd "$f" | sed -nE 's/^[^/]*(\/[^ ]+) \(0x.*$/\1/p'
		done
	} | sort -u | while read -r f; do
		real=$(realpath "${f%/*}")
		mkdir -p "$root$real"
		cp -L "$f" "$root$real/${f##*/}" || return 1
	done
}

# images_busybox ROOT: busybox, a link for each applet that is not there yet, and what a system has
images_busybox()
{
	local root=$1 a

	# The links take a process each: make them once.
	if [[ -d base.made && ! -e $root ]]; then
		cp -a base.made "$root"
		return
	fi
	mkdir -p "$root"/{etc,proc,sys,dev,root,home,var/log,var/tmp} "$root"/usr/{bin,sbin}
	mkdir -p "$root/tmp" && chmod 1777 "$root/tmp"
	for a in bin sbin; do
		[[ -e $root/$a ]] || ln -s "usr/$a" "$root/$a"
	done
	cp -L "$(command -v busybox)" "$root/usr/bin/busybox"
	for a in $(busybox --list); do
		[[ -e $root/usr/bin/$a || -e $root/usr/sbin/$a ]] || ln -s busybox "$root/usr/bin/$a"
	done
	cat >"$root/etc/passwd" <<-'END'
		root:x:0:0:root:/root:/bin/sh
		daemon:x:1:1:daemon:/usr/sbin:/bin/false
		www-data:x:33:33:www-data:/var/www:/bin/false
		alice:x:1234:1235:Alice:/home/alice:/bin/sh
		nobody:x:65534:65534:nobody:/:/bin/false
	END
	cat >"$root/etc/group" <<-'END'
		root:x:0:
		daemon:x:1:
		www-data:x:33:
		wheel:x:40:alice
		alice:x:1235:
		nogroup:x:65534:
	END
	printf 'hosts: files dns\npasswd: files\ngroup: files\n' >"$root/etc/nsswitch.conf"
	[[ ! -e base.made && -L $root/usr/bin/ps ]] && cp -a "$root" base.made
	return 0
}

images_make_busybox()
{
	images_busybox busybox
	"$oci" image "$layout" busybox \
	    --config '{"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"]}' \
	    "$(images_layer gzip busybox)"
}

images_make_nginx()
{
	local nginx=/usr/sbin/nginx

	images_libs nginx-base "$(command -v ps)" "$nginx"
	rm -f "nginx-base$nginx"
	images_busybox nginx-base
	mkdir -p nginx-pkg/etc/nginx nginx-pkg/usr/sbin nginx-pkg/var/log/nginx \
	    nginx-pkg/var/lib/nginx nginx-pkg/var/www/html nginx-pkg/run
	cp -L "$nginx" nginx-pkg/usr/sbin/
	cp -L /etc/nginx/mime.types nginx-pkg/etc/nginx/
	ln -s /dev/stdout nginx-pkg/var/log/nginx/access.log
	ln -s /dev/stderr nginx-pkg/var/log/nginx/error.log
	mkdir -p nginx-conf/etc/nginx/templates nginx-conf/var/www/html
	cat >nginx-conf/etc/nginx/templates/nginx.conf <<-'END'
		user www-data;
		worker_processes 1;
		pid /run/nginx.pid;
		error_log /var/log/nginx/error.log notice;
		events { worker_connections 64; }
		http {
			include /etc/nginx/mime.types;
			access_log /var/log/nginx/access.log;
			server {
				listen 127.0.0.1:NGINX_PORT;
				root /var/www/html;
			}
		}
	END
	cat >nginx-conf/docker-entrypoint.sh <<-'END'
		#!/bin/sh
		set -e
		sed "s/NGINX_PORT/${NGINX_PORT:-80}/" /etc/nginx/templates/nginx.conf >/etc/nginx/nginx.conf
		exec "$@"
	END
	chmod 755 nginx-conf/docker-entrypoint.sh
	cat >nginx-conf/var/www/html/index.html <<-'END'
		<!DOCTYPE html>
		<title>Welcome to nginx!</title>
		<h1>Welcome to nginx, in a container run by Coffer</h1>
	END
	"$oci" image "$layout" nginx --config '{
	    "Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin","NGINX_VERSION=debian"],
	    "Entrypoint":["/docker-entrypoint.sh"],"Cmd":["nginx","-g","daemon off;"],
	    "ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGQUIT",
	    "Labels":{"maintainer":"Coffer"}}' \
	    "$(images_layer gzip nginx-base)" "$(images_layer gzip nginx-pkg)" \
	    "$(images_layer gzip nginx-conf)"
}

images_make_layers()
{
	images_busybox layers-1
	mkdir -p layers-1/data/{dir,opaque/deep,kept} layers-1/data/gone/below
	echo one >layers-1/data/replaced
	echo one >layers-1/data/removed
	echo one >layers-1/data/dir/removed
	echo one >layers-1/data/dir/kept
	echo one >layers-1/data/opaque/old
	echo one >layers-1/data/opaque/deep/old
	echo one >layers-1/data/gone/below/file
	echo one >layers-1/data/back
	echo one >layers-1/data/file-to-dir
	mkdir layers-1/data/dir-to-file
	echo one >layers-1/data/dir-to-file/inside
	ln layers-1/data/dir/kept layers-1/data/hardlink
	ln -s dir/kept layers-1/data/symlink
	echo one >"layers-1/data/name with spaces and ümlaut"
	echo one >layers-1/data/xattr && setfattr -n user.coffer -v yes layers-1/data/xattr
	touch layers-1/data/setuid && chmod 4755 layers-1/data/setuid

	mkdir -p layers-2/data/{dir,opaque,dir-to-file}
	echo two >layers-2/data/replaced
	touch layers-2/data/.wh.removed layers-2/data/dir/.wh.removed layers-2/data/.wh.gone
	touch layers-2/data/opaque/.wh..wh..opq layers-2/data/.wh.back
	echo two >layers-2/data/opaque/new

	mkdir -p layers-3/data/file-to-dir
	rmdir layers-2/data/dir-to-file
	echo three >layers-3/data/dir-to-file
	echo three >layers-3/data/file-to-dir/inside
	echo three >layers-3/data/back

	mkdir -p layers-4/data/gone
	echo four >layers-4/data/gone/again

	mkdir -p layers-5 # an empty layer
	"$oci" image "$layout" layers \
	    --config '{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"]}' \
	    "$(images_layer gzip layers-1)" "$(images_layer gzip layers-2)" \
	    "$(images_layer gzip layers-3)" "$(images_layer gzip layers-4)" \
	    "$(images_layer gzip layers-5)"
}

images_make_zstd()
{
	images_busybox zstd-1
	mkdir -p zstd-2/etc
	echo "from a zstd layer" >zstd-2/etc/message
	"$oci" image "$layout" zstd --config '{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"]}' \
	    "$(images_layer none zstd-1)" "$(images_layer zstd zstd-2)"
}

# images_platform TAG OS/ARCH: busybox (of this host) with a file that names the platform
images_platform()
{
	images_busybox "platform-$1"
	echo "$2" >"platform-$1/etc/platform"
	"$oci" image "$layout" "$1" --platform "$2" \
	    --config '{"Env":["PATH=/usr/bin:/bin"],"Cmd":["cat","/etc/platform"]}' \
	    "$(images_layer gzip "platform-$1")"
}

images_make_multi()
{
	images_platform multi-s390x linux/s390x
	images_platform multi-amd64 linux/amd64
	images_platform multi-arm64 linux/arm64/v8
	"$oci" index "$layout" multi multi-s390x multi-arm64 multi-amd64
}

images_make_foreign()
{
	images_platform foreign-s390x linux/s390x
	images_platform foreign-mips64le linux/mips64le
	"$oci" index "$layout" foreign foreign-s390x foreign-mips64le
}

images_make_config()
{
	images_busybox config
	mkdir -p config/home/alice/work
	cat >config/usr/bin/tell <<-'END'
		#!/bin/sh
		echo "args: $*"
		echo "user: $(id -u):$(id -g) groups: $(id -G)"
		echo "cwd: $(pwd)"
		echo "colour: $COLOUR"
		echo "home: $HOME"
	END
	chmod 755 config/usr/bin/tell
	"$oci" image "$layout" config --config '{"User":"alice","WorkingDir":"/home/alice/work",
	    "Env":["PATH=/usr/bin:/bin","COLOUR=blue"],"Entrypoint":["tell","one"],"Cmd":["two"],
	    "StopSignal":"SIGUSR1"}' "$(images_layer gzip config)"
}

# images_noise TAG SIZE NUMBER...: an image of layers of that many bytes of noise, one for each number.
# A keyed stream: does not compress, and is the same in every run.
images_noise()
{
	local tag=$1 size=$2 n args=()
	shift 2

	for n in "$@"; do
		if [[ ! -e noise-$size-$n.tar ]]; then
			mkdir -p "noise-$size-$n"
			openssl enc -aes-128-ctr -K "$(printf %032d "$n")" -iv 0 -in /dev/zero 2>/dev/null |
			    head -c "$size" >"noise-$size-$n/noise-$n"
			images_layer gzip "noise-$size-$n" >/dev/null
		fi
		args+=("gzip:noise-$size-$n.tar")
	done
	"$oci" image "$layout" "$tag" --config '{"Env":["PATH=/bin"],"Cmd":["sh"]}' "${args[@]}"
}
images_make_tiny1() { images_noise tiny1 65000 1 2 3; }
images_make_tiny2() { images_noise tiny2 65000 1 2 4; }
images_make_wide() { images_noise wide $((40 << 20)) 5; }
images_make_many() { images_noise many 524288 {101..164}; }
images_make_heavy() { images_noise heavy 25000000 {11..14}; }

images_make_deep()
{
	local n dir args=()

	images_busybox deep
	mkdir deep/deep
	args=("$(images_layer gzip deep)")
	for n in {2..128}; do
		dir=deep-$n
		mkdir -p "$dir/deep"
		echo "$n" | tee "$dir/deep/top" "$dir/deep/short-$n" >"$dir/deep/own-$n"
		touch "$dir/deep/.wh.short-$((n - 1))"
		args+=("$(images_layer gzip "$dir")")
	done
	"$oci" image "$layout" deep --config '{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"]}' "${args[@]}"
}

images_make_big()
{
	local n args=()

	images_busybox big
	args=("$(images_layer gzip big)")
	for n in 1 2 3 4; do
		mkdir -p "big-$n"
		# A keyed stream: does not compress, and is the same in every run.
		openssl enc -aes-128-ctr -K "0000000000000000000000000000000$n" -iv 0 -in /dev/zero \
		    2>/dev/null | head -c $((12 * 1024 * 1024)) >"big-$n/big-$n"
		args+=("$(images_layer gzip "big-$n")")
	done
	"$oci" image "$layout" big --config '{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"]}' \
	    "${args[@]}"
}

images_make_escape()
{
	mkdir -p escape/in
	echo out >escape/in/escaped-by-dots
	tar --transform 's,^in/,../../../../../../../../tmp/,' -P -cf escape-1.tar -C escape \
	    in/escaped-by-dots
	"$oci" image "$layout" escape --config '{}' none:escape-1.tar
}

images_make()
{
	local layout oci work name status=0
	layout=$(realpath -m "$1")
	oci=$(realpath "$images_dir/oci-image")
	shift
	(($# > 0)) || set -- "${images_all[@]}"

	mkdir -p "$layout"
	work=$(mktemp -d "$layout/work.XXXXXX") || return 1
	for name in "$@"; do
		(cd "$work" && set -e && "images_make_$name") || { status=1; break; }
	done
	rm -rf "$work"
	return "$status"
}

# images_push LAYOUT HOST:PORT [skopeo options]: all of them as HOST:PORT/coffer/TAG:latest, and
# busybox once more in Docker's media types as coffer/docker
images_push()
{
	local layout=$1 host=$2 name
	shift 2

	for name in $(jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]' \
	    "$layout/index.json"); do
		images_copy --all "$@" "oci:$layout:$name" "docker://$host/coffer/$name:latest" ||
		    return 1
	done
	images_copy --format v2s2 "$@" "oci:$layout:busybox" "docker://$host/coffer/docker:latest"
}

# images_copy: skopeo copy, with no configuration of this host in its way
images_copy()
{
	skopeo --insecure-policy --registries-conf /dev/null copy -q --dest-tls-verify=false "$@" \
	    </dev/null
}
