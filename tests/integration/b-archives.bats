#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-archives - images as files: import and export, with skopeo, umoci, buildah and containerd as peers.

load ../lib/harness.bash
load ../lib/peer.bash

setup_file() { harness_up; }
teardown_file()
{
	peer_stop
	harness_down
}

digest_of() { ctr images list --format json | jq -r --arg n "$1" '.[] | select(.name == $n) | .target.digest'; }
# layout_digest NAME: of a fixture's manifest or index
layout_digest() { jq -r --arg n "$1" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $n) | .digest' "$COFFER_FIXTURES/images/index.json"; }
layout_copy() { skopeo copy -q --all "oci:$COFFER_FIXTURES/images:$1" "$2"; }
no_images() { ctr images list -q | xargs -r "$COFFER_BUILD/ctr" images remove --sync >/dev/null; }

@test "an OCI layout archive: names and digests are told, and it runs" {
	layout_copy busybox "oci-archive:$T/a.tar:docker.io/library/mine:1"
	ok ctr images import "$T/a.tar"
	assert_is "docker.io/library/mine:1 $(layout_digest busybox)"
	ok ctr run --rm mine:1 ba-1 echo from an archive
	assert_is "from an archive"
	[[ -z $(ctr leases list -q) ]]
}

@test "a folder, a pipe, and every compression give the same" {
	local f

	no_images
	layout_copy busybox "oci:$T/folder:docker.io/library/mine:2"
	tar -C "$T/folder" -cf "$T/b.tar" .
	gzip -k "$T/b.tar"
	zstd -q "$T/b.tar"
	xz -0 -k "$T/b.tar"
	bzip2 -1 -k "$T/b.tar"
	for f in "$T/folder" "$T/folder/" "$T"/b.tar{,.gz,.zst,.xz,.bz2}; do
		ok ctr images import -q --no-unpack "$f"
		assert_is docker.io/library/mine:2
		[[ $(digest_of docker.io/library/mine:2) == "$(layout_digest busybox)" ]]
		no_images
	done
	ok ctr images import - <"$T/b.tar.gz"
	assert_is "docker.io/library/mine:2 $(layout_digest busybox)"
	ok ctr images import --format json - < <(cat "$T/b.tar")
	jq -e '.[0].name == "docker.io/library/mine:2"' <<<"$output"
	ok ctr run --rm mine:2 ba-2 echo yes
	assert_is yes
}

@test "docker save's form: names, digests as containerd gives them, and it runs" {
	no_images
	peer_start
	skopeo copy -q "oci:$COFFER_FIXTURES/images:layers" "docker-archive:$T/d.tar:mine:3"
	skopeo copy -q "oci:$COFFER_FIXTURES/images:layers" "docker-archive:$T/d2.tar:quay.io/me/x:4"
	ok ctr images import "$T/d.tar"
	assert_match '^docker.io/library/mine:3 sha256:'
	peer images import --no-unpack "$T/d.tar" >/dev/null
	[[ $(digest_of docker.io/library/mine:3) == \
	    "$(peer images list | awk '$1 == "docker.io/library/mine:3" { print $3 }')" ]]
	ok ctr run --rm mine:3 ba-3 cat /data/back
	assert_is three
	ok ctr images import "$T/d2.tar"
	assert_match '^quay.io/me/x:4 sha256:'
	ok ctr images list -q
	assert_is "$(printf 'docker.io/library/mine:3\nquay.io/me/x:4')"
}

@test "several images in one archive; layers as links, as docker save has them" {
	no_images
	mkdir -p "$T/saved/aa" "$T/saved/bb"
	skopeo copy -q "oci:$COFFER_FIXTURES/images:busybox" "docker-archive:$T/e.tar:x:1"
	tar -C "$T/saved" -xf "$T/e.tar"
	(
		cd "$T/saved"
		rm -rf repositories
		layer=$(jq -r '.[0].Layers[0]' manifest.json)
		find . -type l -delete
		mv "$layer" aa/layer.tar
		ln -s ../aa/layer.tar bb/layer.tar
		echo 1.0 >aa/VERSION
		echo {} >aa/json
		jq -c '[.[0] | .Layers = ["aa/layer.tar"] | .RepoTags = ["one:1", "two:2"],
		    (.Layers = ["bb/layer.tar"] | .RepoTags = ["three:3"])]' manifest.json >m
		mv m manifest.json
		tar -cf ../f.tar -- *
	)
	ok ctr images import -q "$T/f.tar"
	assert_is "$(printf '%s\n' docker.io/library/{one:1,two:2,three:3})"
	ok ctr run --rm three:3 ba-4 echo linked
	assert_is linked
}

@test "names: by base, by digest, for the whole, and by the day when there is none" {
	local d

	d=$(layout_digest busybox)
	no_images
	layout_copy busybox "oci-archive:$T/g.tar:1.0"
	ok ctr images import -q --no-unpack "$T/g.tar"
	assert_is "docker.io/library/import-$(date -u +%F):1.0"
	ok ctr images import -q --no-unpack --base-name quay.io/me/app "$T/g.tar"
	assert_is quay.io/me/app:1.0
	ok ctr images import -q --no-unpack --base-name quay.io/me/app --digests "$T/g.tar"
	assert_is "$(printf '%s\n' quay.io/me/app:1.0 "quay.io/me/app@$d")"
	ok ctr images import -q --no-unpack --base-name app --digests --skip-digest-for-named "$T/g.tar"
	assert_is docker.io/library/app:1.0
	ok ctr images import -q --no-unpack --index-name whole:7 "$T/g.tar"
	assert_match '^docker.io/library/whole:7$'
	ok ctr run --rm whole:7 ba-5 echo whole
	ok ctr images import -q --no-unpack --base-name whole --index-name whole:1.0 "$T/g.tar"
	assert_is docker.io/library/whole:1.0
	refused 2 "option --base-name" ctr images import --base-name 'A b' "$T/g.tar"
	refused 2 "option --index-name" ctr images import --index-name "$(printf '\e[2J')" "$T/g.tar"
	layout_copy busybox "oci-archive:$T/h.tar:quay.io/me/app:2"
	refused 1 "no image in it" ctr images import --no-unpack --base-name quay.io/me/ap "$T/h.tar"
	layout_copy busybox "oci:$T/nameless"
	ok ctr images import -q --no-unpack "$T/nameless"
	assert_is "docker.io/library/import-$(date -u +%F)@$d"
	ok ctr images import -q --no-unpack --label a=b --label c=d "$T/h.tar"
	[[ $(ctr images list --format json | jq -c '.[] | select(.name == "quay.io/me/app:2").labels') == '{"a":"b","c":"d"}' ]]
}

@test "platforms: the host's, another one, all, one that is not there" {
	no_images
	layout_copy multi "oci-archive:$T/m.tar:multi:1"
	ok ctr images import -q "$T/m.tar"
	ok ctr run --rm multi:1 ba-6
	assert_is linux/amd64
	# Index, manifest, config, layer: what the archive has for others did not stay.
	[[ $(ctr content list -q | wc -l) == 4 ]]
	refused 1 "sha256:[0-9a-f]{64} is not" ctr images export --all-platforms "$T/m2.tar" multi:1
	ok ctr images import -q --platform linux/arm64 "$T/m.tar"
	[[ $(ctr content list -q | wc -l) == 7 ]]
	no_images
	ok ctr images import -q --platform linux/arm64 "$T/m.tar"
	[[ $(digest_of docker.io/library/multi:1) == "$(layout_digest multi)" ]]
	refused 1 "linux/riscv64" ctr images import --platform linux/riscv64 "$T/m.tar"
	no_images
	ok ctr images import -q --all-platforms --no-unpack "$T/m.tar"
	refused 2 "exclude" ctr images import --all-platforms --platform linux/arm64 "$T/m.tar"
	ok ctr images export --all-platforms "$T/m2.tar" multi:1
	[[ $(tar -tf "$T/m2.tar" | grep -c blobs/sha256/.) == 10 ]]
	refused 1 "for linux/amd64 only" ctr images import --platform linux/s390x --no-unpack "$T/a.tar"
}

@test "an attestation goes along with all of an image, and not with what it was not made for" {
	no_images
	"$harness_lib/evil_archive.py" attested >"$T/att.tar"
	ok ctr images import -q "$T/att.tar"
	[[ $(ctr content list -q | wc -l) == 4 ]]
	ok ctr images export --all-platforms "$T/att1.tar" evil:1
	ok ctr images import -q --all-platforms "$T/att.tar"
	[[ $(ctr content list -q | wc -l) == 6 ]]
	ok ctr images export --all-platforms "$T/att2.tar" evil:1
	skopeo copy -q --all "oci-archive:$T/att2.tar" "dir:$T/att"
	ok ctr images convert --gzip --all-platforms evil:1 evil:2
	ctr images export --all-platforms - evil:2 >"$T/att3.tar"
	skopeo inspect --raw "oci-archive:$T/att3.tar" | jq -e '.manifests | length == 1'
	no_images
}

@test "export: the same bytes each time, to a file and a pipe" {
	no_images
	pulled layers >/dev/null
	ok ctr images export "$T/x1.tar" "$REG/coffer/layers:latest"
	[[ -z $output ]]
	"$COFFER_BUILD/ctr" images export - "$REG/coffer/layers:latest" | cat >"$T/x2.tar"
	cmp "$T/x1.tar" "$T/x2.tar"
	tar -xOf "$T/x1.tar" oci-layout | jq -e '.imageLayoutVersion == "1.0.0"'
	tar -xOf "$T/x1.tar" manifest.json | jq -e --arg r "$REG/coffer/layers:latest" '.[0].RepoTags == [$r]'
	refused 1 "not here" ctr images export "$T/x3.tar" nothing:1
	[[ ! -e $T/x3.tar ]]
	ok ctr images export --skip-manifest-json "$T/x4.tar" "$REG/coffer/layers:latest"
	run ! tar -tf "$T/x4.tar" manifest.json
	[[ -z $(find "$T" -maxdepth 1 -name '.x*') ]]
}

@test "what is exported is what skopeo, umoci, buildah and docker's form read" {
	local d ref=$REG/coffer/layers:latest

	d=$(layout_digest layers)
	ctr images export "$T/x1.tar" "$ref"
	[[ $(skopeo inspect --raw "oci-archive:$T/x1.tar" | sha256sum) == "${d#sha256:}  -" ]]
	skopeo copy -q "oci-archive:$T/x1.tar" "dir:$T/as-dir"
	skopeo copy -q "docker-archive:$T/x1.tar" "dir:$T/as-docker"
	mkdir "$T/x1"
	tar -C "$T/x1" -xf "$T/x1.tar"
	umoci unpack --rootless --image "$T/x1:latest" "$T/bundle"
	[[ $(<"$T/bundle/rootfs/data/back") == three ]]
	# Its own archive comes back the same.
	no_images
	ok ctr images import "$T/x1.tar"
	assert_is "$ref $d"
}

podman_here() { podman --storage-driver vfs --root "$T/pr" --runroot "$T/prr" "$@" 3>&-; }
buildah_here() { buildah --storage-driver vfs --root "$T/pr" --runroot "$T/prr" "$@" 3>&-; }

@test "podman and buildah load what we write, and we take what they write" {
	local id

	no_images
	ctr images import -q "$T/d.tar"
	ctr images export - mine:3 | podman_here load -q
	podman_here image exists docker.io/library/mine:3
	id=$(podman_here image inspect --format '{{.Id}}' mine:3)
	no_images
	podman_here save -q mine:3 | ctr images import -
	ctr images export "$T/c.tar" mine:3
	[[ $(skopeo inspect --raw "oci-archive:$T/c.tar" | jq -r .config.digest) == "sha256:$id" ]]
	ok ctr run --rm mine:3 ba-11 cat /data/back
	assert_is three
	no_images
	podman_here save -q --format oci-archive -o "$T/pod.tar" mine:3
	buildah_here push -q mine:3 "oci-archive:$T/bud.tar:mine:4"
	ok ctr images import -q "$T/pod.tar"
	assert_is docker.io/library/mine:3
	ok ctr images import -q "$T/bud.tar"
	assert_is docker.io/library/mine:4
	ok ctr run --rm mine:4 ba-12 cat /data/back
	assert_is three
}

@test "containerd reads what we write and we read what it writes, with the same digests" {
	local ref=docker.io/library/busy:1

	no_images
	layout_copy busybox "oci-archive:$T/p.tar:$ref"
	ctr images import -q "$T/p.tar"
	layout_copy multi "oci-archive:$T/q.tar:docker.io/library/multi:1"
	ctr images import -q --all-platforms "$T/q.tar"
	ctr images export --all-platforms "$T/ours.tar" "$ref" multi:1
	peer -n x images import --no-unpack --all-platforms "$T/ours.tar"
	[[ $(peer -n x images list | awk 'NR > 1 { print $1, $3 }') == \
	    "$(ctr images list --format json | jq -r '.[] | "\(.name) \(.target.digest)"')" ]]
	peer -n x images export --all-platforms "$T/theirs.tar" "$ref" docker.io/library/multi:1
	no_images
	ok ctr images import --all-platforms "$T/theirs.tar"
	assert_is "$(printf '%s\n' "$ref $(layout_digest busybox)" \
	    "docker.io/library/multi:1 $(layout_digest multi)")"
	ok ctr run --rm multi:1 ba-7
	assert_is linux/amd64
}

@test "on a terminal large blobs have a bar" {
	no_images
	layout_copy big "oci-archive:$T/big.tar:big:1"
	ok on_terminal --size 110x30 'expect:blob +sha256:[0-9a-f]{12} +done +12.0 MiB' \
	    'expect:docker.io/library/big:1 sha256:' -- "$COFFER_BUILD/ctr" images import --no-unpack "$T/big.tar"
	ok on_terminal --size 110x30 'expect:blob +sha256:[0-9a-f]{12} +done +12.0 MiB' \
	    -- "$COFFER_BUILD/ctr" images export "$T/big2.tar" big:1
	ok on_terminal --size 110x30 'expect:blob +sha256:[0-9a-f]{12} +(converting +\[=*>? *\]|done) +[0-9.]+ MiB' \
	    'expect:sha256:[0-9a-f]{64}' -- "$COFFER_BUILD/ctr" images convert --zstd big:1 big:2
	rm -f "$T"/big*.tar
}

@test "interrupted, nothing is left: a pipe that is silent, a file half written" {
	local pid

	no_images
	mkfifo "$T/pipe"
	exec 8<>"$T/pipe"
	"$COFFER_BUILD/ctr" images import - <"$T/pipe" >"$T/out" 2>&1 3>&- 8>&- &
	pid=$!
	head -c 300000 "$T/b.tar" >&8 # returns when most of it was read
	kill -INT "$pid"
	wait_until 10 gone "$pid"
	exec 8>&-
	assert_no_ingest
	[[ -z $(ctr images list -q)$(ctr leases list -q) ]]
	grep -q interrupted "$T/out"
}

@test "ctr killed: what it stored is held by a lease that ends, and goes with it" {
	local lease pid

	exec 8<>"$T/pipe"
	"$COFFER_BUILD/ctr" images import - <"$T/pipe" >"$T/out" 2>&1 3>&- 8>&- &
	pid=$!
	head -c $(($(stat -c %s "$T/b.tar") - 2048)) "$T/b.tar" >&8
	wait_until 10 some_blob
	kill -KILL "$pid"
	wait_until 10 gone "$pid"
	exec 8>&-
	lease=$(ctr leases list -q)
	ctr leases list --format json |
	    jq -e '.[0].labels["containerd.io/gc.expire"] | fromdate - now | . > 86000 and . <= 86400'
	ctr gc >/dev/null
	some_blob
	ok ctr leases delete --sync "$lease"
	[[ -z $(ctr content list -q) ]] # an ingest it was at goes a day after its last byte
}
some_blob() { [[ -n $(ctr content list -q) ]]; }
assert_no_ingest() { run find "$ROOT/content/drafts" -type f && assert_is ""; }

@test "convert: layers packed another way, the same files and config; the same result each time" {
	local ref=$REG/coffer/layers:latest d1 how type

	no_images
	pulled layers >/dev/null
	for how in uncompress:tar zstd:tar+zstd; do
		type=application/vnd.oci.image.layer.v1.${how#*:}
		ok ctr images convert --oci "--${how%:*}" "$ref" conv:1
		d1=$output
		ok ctr images convert --oci "--${how%:*}" "$ref" conv:2
		assert_is "$d1"
		ctr images export "$T/c.tar" conv:1
		skopeo inspect --raw "oci-archive:$T/c.tar" >"$T/c.json"
		jq -e --arg t "$type" '[.layers[].mediaType] | unique == [$t]' "$T/c.json"
		[[ $(jq -r .config.digest "$T/c.json") == \
		    "$(skopeo inspect --raw "oci:$COFFER_FIXTURES/images:layers" | jq -r .config.digest)" ]]
		skopeo copy -q "oci-archive:$T/c.tar" "dir:$T/c-${how%:*}"
		ok ctr run --rm conv:1 ba-8 cat /data/back
		assert_is three
	done
	ok ctr images convert --gzip conv:1 conv:3
	ok ctr images convert --uncompress conv:3 conv:4
	ctr images export - conv:3 >"$T/c3.tar"
	skopeo copy -q "oci-archive:$T/c3.tar" "dir:$T/c-gzip"
	gzip -t "$T/c-gzip/$(jq -r '.layers[0].digest' <"$T/c-gzip/manifest.json" | cut -d: -f2)"
	refused 2 "convert to what" ctr images convert "$ref" conv:5
	refused 2 "exclude" ctr images convert --zstd --gzip "$ref" conv:5
	refused 1 "not here" ctr images convert --zstd nothing conv:5
}

@test "convert: Docker's types to OCI's, one platform of an index, and all" {
	no_images
	ctr images import -q --no-unpack "$T/d.tar"
	ok ctr images convert --oci mine:3 mine:oci
	ctr images export "$T/c.tar" mine:oci
	skopeo inspect --raw "oci-archive:$T/c.tar" |
	    jq -e '.mediaType == "application/vnd.oci.image.manifest.v1+json" and
	        .config.mediaType == "application/vnd.oci.image.config.v1+json"'
	ok ctr images convert --zstd mine:3 mine:zstd
	ok ctr run --rm mine:zstd ba-9 cat /data/back
	assert_is three
	ctr images import -q --no-unpack --all-platforms "$T/m.tar"
	ok ctr images convert --zstd multi:1 multi:one
	ok ctr images convert --zstd --all-platforms multi:1 multi:all
	ctr images export --all-platforms "$T/c.tar" multi:one multi:all
	[[ $(tar -xOf "$T/c.tar" index.json | jq -r '[.manifests[].mediaType | sub(".*image.";"")] | join(" ")') == \
	    "manifest.v1+json index.v1+json" ]]
	ok ctr run --rm multi:all ba-10
	assert_is linux/amd64
	skopeo copy -q --all "oci-archive:$T/c.tar:all" "dir:$T/c-all"
}
