#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-bad-archives - archives that are broken, lie or attack: one clear line each, and nothing is left.

load ../lib/harness.bash

setup_file()
{
	harness_up
	WORKERS=$(workers_now)
	export WORKERS
}
teardown_file() { harness_down; }

evil() { "$harness_lib/evil_archive.py" "$1"; }

# What an import may leave: nothing. Blobs without an image are gone with the lease.
clean()
{
	[[ -z $(ctr content list -q) ]] || fail "blobs: $(ctr content list -q)" || return 1
	[[ -z $(ctr images list -q) ]] || fail "images: $(ctr images list -q)" || return 1
	[[ -z $(find "$ROOT/content/drafts" "$ROOT/content/ingest" -type f) ]] || fail "ingests" || return 1
	[[ -z $(ctr leases list -q) ]] || fail "leases: $(ctr leases list)" || return 1
	[[ $(workers_now | jq -c '[.[][0:2]]') == "$(jq -c '[.[][0:2]]' <<<"$WORKERS")" ]] ||
	    fail "a worker died: $(workers_now)"
}

# bad STYLE REGEX: refused with a line like that, from a file and from a pipe
bad()
{
	evil "$1" >"$T/evil.tar"
	refused 1 "$2" ctr images import "$T/evil.tar" || fail "style $1" || return 1
	refused 1 "$2" ctr images import - < <(cat "$T/evil.tar") || fail "style $1, from a pipe"
}

@test "the sound one they are made from is taken" {
	evil good >"$T/good.tar"
	ok ctr images import -q "$T/good.tar"
	assert_is docker.io/library/evil:1
	# With a signature beside the image, which is none itself.
	evil signed >"$T/signed.tar"
	ok ctr images import -q "$T/signed.tar"
	assert_is docker.io/library/evil:1
	ctr images remove --sync evil:1
}

@test "names and links that leave the archive" {
	bad absolute 'evil.tar: /etc/evil: has an absolute name|-: /etc/evil: has an absolute name'
	bad dotdot '\.\./evil: has "\.\."'
	bad dotdot_blob 'has "\.\."'
	bad link_absolute 'is a link out of the archive'
	bad link_out 'leads out of the archive'
	bad hardlink_out 'has "\.\."'
	bad hardlink_absolute 'absolute'
	bad long_name 'too long a name'
	[[ ! -e /etc/evil && ! -e $T/evil && ! -e /evil ]]
	clean
}

@test "documents that are links, or there twice" {
	bad index_link 'index.json is a link'
	bad layout_link 'oci-layout is a link'
	bad two_index 'index.json is in it twice'
	bad two_saved 'manifest.json is in it twice'
	clean
}

@test "docker save's form: files that are not there, links in circles, names, too much" {
	bad saved_layer_missing 'manifest.json: layer m/layer.tar is not there'
	bad saved_config_missing 'manifest.json: config other.json is not there'
	bad saved_link_loop 'layer a is not there'
	bad saved_tag 'RepoTags'
	bad saved_tags_many 'more than 4096 names'
	bad saved_layers_many '10000 Layers: at most 512'
	bad saved_two_layers_one_diff_id '2 layers and the config 1 diff_ids'
	bad saved_no_list 'not a list'
	bad saved_config_is_layer 'not JSON'
	clean
}

@test "blobs that are not there, are others, or do not fit" {
	bad no_index 'no index.json'
	bad no_layout 'neither oci-layout nor manifest.json'
	bad layout_version 'imageLayoutVersion'
	bad manifest_missing 'evil:1: .*sha256:[0-9a-f]{64} is not'
	bad config_missing 'evil:1: .*sha256:[0-9a-f]{64} is not'
	bad layer_missing 'evil:1: .*sha256:[0-9a-f]{64} is not'
	bad digest_wrong 'blobs/sha256/0{64}: .*its digest is'
	bad layer_size 'bytes, not'
	bad manifest_size 'bytes, not'
	bad diff_id 'evil:1: layer .* the image says sha256:0{64}'
	bad diff_ids_two '1 layers and the config 2'
	bad nothing_named 'no image in it'
	bad name_escape 'name of an image'
	bad name_long 'longer than 1024|too long'
	bad uid 'rootfs'
	clean
}

@test "JSON that attacks: sizes, digests, ambiguity, depth, numbers, amounts" {
	bad json_size_negative 'size -1'
	bad json_size_huge 'size|not JSON'
	bad json_digest_path 'digest'
	bad json_digest_upper 'digest'
	bad json_digest_md5 'digest|algorithm'
	bad json_both 'index and a manifest at once'
	bad json_type 'media'
	bad json_twice 'not JSON.*duplicate'
	bad json_trailing 'not JSON'
	bad json_bom 'not JSON'
	bad json_utf8 'not JSON'
	bad json_nul 'not JSON'
	bad json_deep 'nested deeper'
	bad json_number 'not JSON'
	bad json_digits 'not JSON'
	bad json_large 'index.json has 5242914 bytes: at most 4194304'
	bad json_entries '10000 manifests'
	bad json_layers '10000 layers'
	bad json_empty 'not JSON'
	bad json_nested 'indexes in indexes'
	bad json_config_large 'at most 4194304'
	clean
}

@test "a tar that lies about sizes, is damaged, or is none" {
	bad tar_size_large 'index.json: not a sound tar archive|at most'
	bad tar_size_small 'not a sound tar archive'
	bad tar_size_negative 'impossible|not a sound tar'
	bad tar_size_2_62 'at most 4194304|impossible|not a sound tar'
	bad tar_checksum 'not a sound tar archive'
	bad not_tar 'not a sound tar archive'
	bad empty 'not a sound tar archive|neither'
	bad rootfs 'neither oci-layout nor manifest.json'
	refused 1 "No such file" ctr images import "$T/nothing"
	mkdir "$T/empty-folder"
	refused 1 "neither oci-layout nor" ctr images import "$T/empty-folder"
	refused 1 "neither oci-layout nor|not a sound" ctr images import /dev/null
	clean
}

@test "a folder: links that leave it, and files that are none" {
	mkdir "$T/folder"
	tar -C "$T/folder" -xf "$T/good.tar"
	ln -s /etc/passwd "$T/folder/blobs/sha256/$(printf '1%.0s' {1..64})"
	refused 1 "link out" ctr images import "$T/folder"
	rm "$T"/folder/blobs/sha256/1111*
	mv "$T/folder/index.json" "$T/index.json"
	ln -s ../index.json "$T/folder/index.json"
	refused 1 "leads out" ctr images import "$T/folder"
	rm "$T/folder/index.json"
	mkfifo "$T/folder/index.json"
	refused 1 "no index.json" ctr images import "$T/folder"
	clean
}

@test "cut off anywhere" {
	local n size

	size=$(stat -c %s "$T/good.tar")
	gzip -k "$T/good.tar"
	# Behind the last file only zeros are missing: those an archive may do without.
	for ((n = 1; n < size - 1536; n += 613)); do
		head -c "$n" "$T/good.tar" >"$T/cut.tar"
		refused 1 "" ctr images import "$T/cut.tar" || fail "cut at $n" || return 1
	done
	size=$(stat -c %s "$T/good.tar.gz")
	for ((n = 1; n < size; n += 97)); do
		head -c "$n" "$T/good.tar.gz" >"$T/cut.tar"
		refused 1 "" ctr images import "$T/cut.tar" || fail "gzip cut at $n" || return 1
	done
	clean
}

@test "bombs: compression in compression, and what unpacks to far too much" {
	gzip -c "$T/good.tar.gz" >"$T/twice.gz"
	refused 1 "compressed 2 times over" ctr images import "$T/twice.gz"
	{
		"$harness_lib/evil_archive.py" good | head -c 1024
		truncate -s 600M "$T/zeros"
		tar -C "$T" -cf - zeros
		rm "$T/zeros"
	} | zstd -q -c >"$T/bomb.zst"
	refused 1 "more than 200 times its size" ctr images import "$T/bomb.zst"
	clean
}

# memory_of COMMAND...: runs it and says the most memory it had, in KiB
memory_of()
{
	/usr/bin/python3 -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
}
content_memory() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(worker_pid content)/status"; }

@test "memory stays flat: a document of 4 GiB, a layer of 1 GiB, both of nothing" {
	local kb

	mkdir "$T/sparse"
	truncate -s 4G "$T/sparse/index.json"
	tar -S -C "$T/sparse" -cf "$T/sparse.tar" index.json
	refused 1 "index.json has 4294967296 bytes: at most 4194304" ctr images import "$T/sparse.tar"
	refused 1 "index.json has 4294967296 bytes" ctr images import "$T/sparse"
	read -r _ kb < <(memory_of "$COFFER_BUILD/ctr" images import "$T/sparse.tar")
	((kb < 32768)) || fail "ctr had $kb KiB"
	# As a file that could be a layer it goes through, piece by piece, and away again.
	rm "$T/sparse/index.json"
	truncate -s 1G "$T/sparse/layer.tar"
	printf '[{"Config":"layer.tar","Layers":["layer.tar"]}]' >"$T/sparse/manifest.json"
	tar -S -C "$T/sparse" -cf "$T/sparse.tar" layer.tar manifest.json
	rm "$T/sparse/layer.tar"
	read -r _ kb < <(memory_of "$COFFER_BUILD/ctr" images import "$T/sparse.tar")
	((kb < 32768)) || fail "ctr had $kb KiB"
	kb=$(content_memory)
	((kb < 65536)) || fail "content had $kb KiB"
	clean
}
