/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_verity - images sealed with fs-verity: the kernel reads no byte that is not what was sealed, and
 * lets nobody change one. The digest by which an image is known is beside it (EROFS_VERITY_NAME), and
 * compared whenever it is to be mounted.
 */
#ifndef CF_SNAPSHOT_EROFS_VERITY_H
#define CF_SNAPSHOT_EROFS_VERITY_H

#include "lib/base/err.h"

#define EROFS_VERITY_NAME "verity"

/* Seals the image in the folder behind dir (borrowed), which nobody writes any more; on disk when this
 * returns. failed_precondition when the kernel or the filesystem has no fs-verity. */
int erofs_verity_seal(int dir, struct err *e);

/* Success, too, for one that was never sealed. data_loss when image is not what was sealed. */
int erofs_verity_check(int dir, int image, struct err *e);

#endif
