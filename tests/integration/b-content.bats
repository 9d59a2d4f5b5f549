#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-content - the content store: blobs and ingests, images put together by clients, leases.

load ../lib/harness.bash

setup_file() { harness_up; }
teardown_file() { harness_down; }

store() { timeout -k 2 120 /usr/bin/python3 "$BATS_TEST_DIRNAME/store.py" "$STATE" "$@" 3>&-; }

@test "bus: an ingest, piece by piece, becomes a blob" { ok store ingest; }
@test "bus: an ingest outlives its worker" { ok store resume; }
@test "bus: blobs and their labels" { ok store blobs; }
@test "bus: images put together by a client" { ok store images; }
@test "bus: leases" { ok store leases; }
@test "bus: garbage collection, rule by rule" { ok store collect; }
@test "bus: what ends by itself is collected by a daemon at rest" { ok store expire; }
@test "bus: collections beside clients take nothing from them" { ok store beside; }
