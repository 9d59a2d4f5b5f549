/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault - named places where a test may kill, delay or fail the process (`make FAULT=1` only).
 *
 *	FAULT_POINT("content.commit.renamed");
 *	if (FAULT_FAILS("content.blob.write") || fs_write_all(fd, p, n) < 0)
 *		return err_sys(e, errno, ...);
 *
 * In every other build both are nothing at all. What happens where is said by the environment:
 *
 *	COFFER_FAULTS="NAME=ACTION;NAME=ACTION"		or COFFER_FAULTS=@FILE, the same text in a file,
 *							read at every hit: a running daemon can be armed
 *	ACTION: kill | abort | stop | delay:MS | error:ERRNO	with @N behind it: at the Nth hit of this
 *							process only (error:ENOSPC@3)
 *	once:ACTION	with @FILE: fires one time over all processes and restarts; FILE.NAME is made as
 *			the mark (its folder must be writable for whoever hits the point)
 *
 * Names: module.step.what. A name may stand in several places; each of them counts its own hits.
 * error: only has a meaning for FAULT_FAILS, which sets errno and is true.
 */
#ifndef CF_BASE_FAULT_H
#define CF_BASE_FAULT_H

#include <stdbool.h>
#include <stdio.h>

struct fault_point {
	const char *name;
	unsigned hits;
};

#ifdef CF_FAULT
/* Each point is a row of the ELF section cf_faults, so that a binary can list its own. */
#define FAULT_HIT(text)                                                          \
	({                                                                       \
		static struct fault_point fault_point_ = { (text), 0 };          \
		static struct fault_point *const fault_row_                      \
		    __attribute__((section("cf_faults"), used)) = &fault_point_; \
		fault_hit(fault_row_);                                           \
	})
#define FAULT_POINT(text) ((void)FAULT_HIT(text))
#define FAULT_FAILS(text) FAULT_HIT(text)
#else
#define FAULT_POINT(text) ((void)0)
#define FAULT_FAILS(text) false
#endif

/* True when the point is to fail: errno is set. Use the macros. */
bool fault_hit(struct fault_point *p);

/* Prints the names of all points of this binary, one a line, each once; nothing in a usual build. */
void fault_list(FILE *out);

#endif
