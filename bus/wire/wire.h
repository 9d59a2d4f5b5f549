/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - records to msgpack and back, driven by the schema tables. The only home of msgpack.
 *
 * A record is one msgpack map with string keys. Decoding trusts nothing: the bytes are walked once
 * for depth, counts and lengths before the library may allocate, then each field is checked against
 * its declaration; unknown keys are skipped. The same codec writes LMDB values.
 */
#ifndef CF_BUS_WIRE_H
#define CF_BUS_WIRE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define WIRE_DEPTH_MAX 16
#define WIRE_NODES_MAX 250000

/* Appends rec (a struct of s) to out. Fields that are MAY and empty (NULL, 0, false, no entries) are
 * left out. Fails with internal when a MUST string or record is NULL or a bound of s is passed:
 * what we send is held to the declaration too. */
int wire_encode(const struct schema *s, const void *rec, struct buf *out, struct err *e);

/* Fills rec (a struct of s, overwritten) from n bytes. Strings and lists live in a; BIN fields point
 * into data. invalid_argument names the field: "layers[3].digest: missing". */
int wire_decode(
    const struct schema *s, const void *data, size_t n, struct arena *a, void *rec, struct err *e);

/* Copies rec (a struct of s) into ret, with all that it points at into a: for what dies with its message. */
void wire_copy(const struct schema *s, const void *rec, struct arena *a, void *ret);

#endif
