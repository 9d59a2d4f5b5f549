/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz - what a fuzz target is: fuzz_<name>.c with these two functions.
 *
 * clang's libFuzzer brings the main of build/.../fuzz/<name>; replay.c that of fuzz/replay_<name>, which
 * any compiler builds: it runs files, makes mutations of the seeds by itself, and writes the seeds.
 */
#ifndef CF_TESTS_FUZZ_H
#define CF_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input; returns 0. Aborts (MUST) when something does not hold that must. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Gives inputs that reach deep, one by one. */
typedef void fuzz_seed_fn(void *arg, const void *data, size_t n);
void fuzz_seeds(fuzz_seed_fn *seed, void *arg);

#endif
