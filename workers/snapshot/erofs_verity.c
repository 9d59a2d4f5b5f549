/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_verity - see erofs_verity.h */
#include "workers/snapshot/erofs_verity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/oci/digest.h"
#include "workers/snapshot/erofs_format.h"
#include "workers/snapshot/erofs_image.h"

#define DIGEST_BYTES 32 /* SHA-256 */

/* "sha256:..", of a file that is sealed; -1 with errno. */
static int
measure(int image, char text[DIGEST_TEXT_MAX])
{
	union {
		struct fsverity_digest head;
		unsigned char room[sizeof(struct fsverity_digest) + DIGEST_BYTES];
	} d = { .head = { .digest_size = DIGEST_BYTES } };
	int n = snprintf(text, DIGEST_TEXT_MAX, "sha256:");

	if (ioctl(image, FS_IOC_MEASURE_VERITY, &d) < 0)
		return -1;
	for (unsigned i = 0; i < DIGEST_BYTES; i++)
		n += snprintf(
		    text + n, DIGEST_TEXT_MAX - (size_t)n, "%02x", d.room[sizeof(d.head) + i]);
	return 0;
}

static int
seal_failed(struct err *e)
{
	if (errno != ENOTTY && errno != EOPNOTSUPP)
		return err_sys(e, errno, "seal the image with fs-verity");
	return err_set(e, ERR_FAILED_PRECONDITION,
	    "no fs-verity: the kernel is made without it, or the disk's filesystem has it switched "
	    "off (ext4: tune2fs -O verity DEVICE) or none at all");
}

int
erofs_verity_seal(int dir, struct err *e)
{
	const struct fsverity_enable_arg arg = {
		.version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = EROFS_BLOCK
	};
	AUTO(fd_close)
	int image = openat(dir, EROFS_IMAGE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[DIGEST_TEXT_MAX];

	if (image < 0)
		return err_sys(e, errno, "open the image");
	if (ioctl(image, FS_IOC_ENABLE_VERITY, &arg) < 0 || measure(image, text) < 0)
		return seal_failed(e);
	return fs_write(dir, EROFS_VERITY_NAME, text, strlen(text), 0400, true, e);
}

int
erofs_verity_check(int dir, int image, struct err *e)
{
	AUTO(buf_free) struct buf want = BUF_ZERO;
	char have[DIGEST_TEXT_MAX];

	if (faccessat(dir, EROFS_VERITY_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	if (fs_read(dir, EROFS_VERITY_NAME, DIGEST_TEXT_MAX, &want, e) < 0)
		return -(int)e->code;
	if (measure(image, have) < 0)
		return err_set(e, ERR_DATA_LOSS,
		    "the image was sealed as %s and is sealed no more (%s)", buf_str(&want),
		    strerror(errno));
	if (strcmp(have, buf_str(&want)) != 0)
		return err_set(e, ERR_DATA_LOSS, "the image was sealed as %s and is %s now",
		    buf_str(&want), have);
	return 0;
}
