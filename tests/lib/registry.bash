# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# registry - Debian's docker-registry on a loopback port, by pid.
#
#   registry_start NAME FOLDER [open|auth|tls|token] [PORT]
#	serves FOLDER/storage (kept between starts; may be a link to one that others read too);
#	sets REGISTRY_NAME_PORT, _PID and _LOG (NAME in capitals). A free port when none is given.
#	auth: user coffer, password secret. tls: a certificate of FOLDER/ca.pem for localhost,
#	127.0.0.1, registry.test and registry-1.docker.io. token: asks for tokens of token_server_start.
#   token_server_start FOLDER	tests/lib/token_server.py; what it is asked for is in FOLDER/token.log
#   token_server_stop FOLDER
#   registry_stop NAME
#   registry_ca FOLDER		makes the CA and certificate, once
#   free_port			prints a loopback port that nobody listens on

free_port()
{
	/usr/bin/python3 -c '
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

registry_ca()
{
	[[ ! -e $1/server.pem ]] || return 0
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
	    -subj "/CN=Coffer test CA" -keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null &&
	    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	        -subj "/CN=registry.test" -keyout "$1/server.key" -out "$1/server.csr" 2>/dev/null &&
	    openssl x509 -req -in "$1/server.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" \
	        -CAcreateserial -days 30 -out "$1/server.pem" -extfile <(
		echo "subjectAltName=DNS:localhost,DNS:registry.test,DNS:registry-1.docker.io,IP:127.0.0.1"
	        ) 2>/dev/null
}

registry_config()
{
	local folder=$1 kind=$2 port=$3

	cat <<-END
		version: 0.1
		log: {level: info}
		storage:
		  filesystem: {rootdirectory: $folder/storage}
		  delete: {enabled: true}
		  maintenance: {uploadpurging: {enabled: false}}
		http:
		  addr: 127.0.0.1:$port
	END
	if [[ $kind == tls ]]; then
		printf '  tls: {certificate: %s/server.pem, key: %s/server.key}\n' "$folder" "$folder"
	fi
	if [[ $kind == token ]]; then
		printf 'auth:\n  token: {realm: "http://127.0.0.1:%s/token", service: coffer-test, issuer: coffer-issuer, rootcertbundle: %s/token.pem}\n' \
		    "$(<"$folder/token.port")" "$folder"
	fi
	if [[ $kind == auth ]]; then
		printf 'auth:\n  htpasswd: {realm: coffer-test, path: %s/htpasswd}\n' "$folder"
	fi
}

token_server_start()
{
	local i

	mkdir -p "$1" &&
	    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Coffer test tokens" \
	        -keyout "$1/token.key" -out "$1/token.pem" 2>/dev/null || return 1
	"${BASH_SOURCE[0]%/*}/token_server.py" "$1/token.key" "$1/token.pem" </dev/null >"$1/token.port" 2>"$1/token.log" 3>&- &
	echo $! >"$1/token.pid"
	disown
	for ((i = 0; i < 200; i++)); do
		[[ ! -s $1/token.port ]] || return 0
		sleep 0.05
	done
	return 1
}
token_server_stop()
{
	kill "$(<"$1/token.pid")" 2>/dev/null || true
}

registry_start()
{
	local name=${1^^} folder=$2 kind=${3:-open} port=${4:-} scheme=http pid i conf

	mkdir -p "$folder" && { [[ -e $folder/storage ]] || mkdir "$folder/storage"; } || return 1
	case $kind in
	tls)
		registry_ca "$folder" || return 1
		scheme=https
		;;
	auth)
		/usr/bin/python3 -W ignore -c '
import crypt
print("coffer:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 5)))' \
		    >"$folder/htpasswd" || return 1
		;;
	esac
	[[ -n $port ]] || port=$(free_port)
	# Others may serve the same folder at this moment.
	conf=$(mktemp "$folder/$kind.XXXXXX") || return 1
	registry_config "$folder" "$kind" "$port" >"$conf"
	docker-registry serve "$conf" </dev/null >"$conf.log" 2>&1 3>&- &
	pid=$!
	disown "$pid"
	printf -v "REGISTRY_${name}_PORT" %s "$port"
	printf -v "REGISTRY_${name}_PID" %s "$pid"
	printf -v "REGISTRY_${name}_LOG" %s "$conf.log"
	export "REGISTRY_${name}_PORT" "REGISTRY_${name}_PID" "REGISTRY_${name}_LOG"
	for ((i = 0; i < 200; i++)); do
		# Any answer will do, 401 too.
		if curl -sk -o /dev/null --max-time 2 "$scheme://127.0.0.1:$port/v2/"; then
			return 0
		fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	printf 'registry %s did not start on port %s:\n' "$1" "$port" >&2
	tail -n 5 "$conf.log" >&2
	return 1
}

registry_stop()
{
	local var=REGISTRY_${1^^}_PID pid i

	pid=${!var-}
	[[ -n $pid ]] || return 0
	unset "$var"
	kill "$pid" 2>/dev/null || return 0
	for ((i = 0; i < 100; i++)); do
		[[ -d /proc/$pid && $(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) == [RSD] ]] ||
		    return 0
		sleep 0.02
	done
	kill -KILL "$pid" 2>/dev/null
}
