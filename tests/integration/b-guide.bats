#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-guide - the commands of the guide, typed exactly so: docker.io itself is here, as a registry over
# TLS at registry-1.docker.io:443 of this network namespace, with a CA that this mount namespace knows.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	if [[ -z ${COFFER_FIXTURES-} ]]; then
		export COFFER_FIXTURES=$T/fixtures
		fixtures_make "$COFFER_FIXTURES"
	fi
	printf '127.0.0.1 localhost registry-1.docker.io docker.io index.docker.io auth.docker.io\n' >"$T/hosts"
	mount --bind "$T/hosts" /etc/hosts
	mkdir "$T/hub"
	registry_start hub "$T/hub" tls 443
	cat "$T/hub/ca.pem" /etc/ssl/certs/ca-certificates.crt >"$T/ca.crt"
	mount --bind "$T/ca.crt" /etc/ssl/certs/ca-certificates.crt
	images_copy "oci:$COFFER_FIXTURES/images:nginx" docker://127.0.0.1:443/library/nginx:latest
	coffer_start
}
teardown_file()
{
	harness_down
	registry_stop hub
}

@test "ctr images pull docker.io/library/nginx:latest" {
	ok ctr images pull docker.io/library/nginx:latest
	ok ctr images list -q
	assert_is docker.io/library/nginx:latest
}

@test "ctr images list" {
	ok ctr images list
	assert_match 'docker.io/library/nginx:latest +.*sha256:[0-9a-f]+ +.*[0-9.]+ [KM]iB'
}

@test "ctr containers create docker.io/library/nginx:latest nginx-container" {
	ok ctr containers create --net-host docker.io/library/nginx:latest nginx-container
	ok ctr containers list
	assert_match '^nginx-container +docker.io/library/nginx:latest +.*(coffer|runc)'
}

@test "ctr containers start nginx-container" {
	ok ctr containers start nginx-container
	wait_until 10 curl -sf http://127.0.0.1:80/
	run curl -s http://127.0.0.1:80/
	assert_has 'Welcome to nginx, in a container run by Coffer'
}

@test "ctr containers list" {
	local pid
	pid=$(container_pid nginx-container)
	ok ctr containers list
	assert_match "^nginx-container +docker.io/library/nginx:latest +.*running +.*$pid|^nginx-container .*$pid .*running"
	ok ctr containers ls -q
	assert_is nginx-container
}

@test "ctr containers info nginx-container" {
	ok ctr containers info nginx-container
	jq -e . <<<"$output" >/dev/null
	assert_match 'NGINX_VERSION=debian'
	assert_match '"ociVersion"'
	assert_match '"/proc"'
	assert_match '/docker-entrypoint.sh'
}

@test "ctr containers exec --exec-id my-exec-id nginx-container ps aux" {
	ok ctr containers exec --exec-id my-exec-id nginx-container ps aux
	assert_match '^root +1 .*nginx: master process'
	assert_match 'nginx: worker process'
	assert_match 'ps aux'
}

@test "the same exec id may be used again, and exit codes are passed on" {
	ok ctr containers exec --exec-id my-exec-id nginx-container true
	run ctr containers exec --exec-id my-exec-id nginx-container sh -c 'exit 42'
	assert_status 42
	run ctr containers exec --exec-id my-exec-id nginx-container sh -c 'kill -9 $$'
	assert_status 137
}

@test "ctr containers logs nginx-container" {
	curl -s http://127.0.0.1:80/some-page >/dev/null
	wait_until 5 logs_have 'GET /some-page'
	ok ctr containers logs nginx-container
	assert_match 'GET /some-page HTTP/1.1" 404'
	ok ctr containers logs --tail 1 nginx-container
	[[ $(wc -l <<<"$output$stderr") == 1 ]] || fail "$output$stderr"
	ok ctr containers logs --timestamps nginx-container
	assert_match '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+) .*GET /'
}
logs_have() { ctr containers logs nginx-container 2>&1 | grep -q "$1"; }

@test "ctr containers stop nginx-container" {
	local start
	start=$(now_ms)
	ok ctr containers stop nginx-container
	(($(now_ms) - start < 9000)) || fail "the image's stop signal was not used"
	is_status nginx-container stopped
	run ! curl -sf --max-time 2 http://127.0.0.1:80/
}

@test "ctr containers start, kill and delete nginx-container" {
	ok ctr containers start nginx-container
	wait_until 10 curl -sf http://127.0.0.1:80/
	ok ctr containers kill nginx-container
	wait_until 10 is_status nginx-container stopped
	ok ctr containers delete nginx-container
	ok ctr containers list -q
	assert_is ""
	nothing_left nginx-container
}

@test "ctr run in the foreground and in the background" {
	ok ctr run --rm docker.io/library/nginx:latest guide-hello echo hello
	assert_is hello
	ok ctr run -d --net-host --env NGINX_PORT=8080 nginx guide-web
	wait_until 10 curl -sf http://127.0.0.1:8080/
	ok ctr containers delete --force guide-web
	nothing_left guide-hello guide-web
}

@test "ctr images remove docker.io/library/nginx:latest" {
	ok ctr images remove docker.io/library/nginx:latest
	ok ctr images list -q
	assert_is ""
	ok ctr content list -q
	assert_is ""
	wait_until 10 no_layers
}
no_layers() { [[ $(ctr snapshots list --format json) == "[]" ]] && [[ -z $(find "$ROOT"/snapshot/{erofs,overlay,native} -mindepth 1) ]]; }
