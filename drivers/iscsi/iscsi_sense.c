/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See iscsi_scsi.h: how a command ended, as errno values that block devices of the kernel have. */
#include <errno.h>

#include "iscsi/iscsi_scsi.h"

#define WRITE_ERROR 0x0c
#define ANY	    0xff /* also: every additional code that no row before has */

enum {
	NO_SENSE,
	RECOVERED,
	NOT_READY,
	MEDIUM,
	HARDWARE,
	ILLEGAL,
	ATTENTION,
	PROTECT,
	BLANK,
	VENDOR,
	COPY_ABORTED,
	ABORTED,
	OVERFLOW = 0xd,
	MISCOMPARE,
};

static const struct {
	uint8_t key, asc, ascq;
	enum iscsi_then then;
	int error;
	const char *text;
} rows[] = {
	{ RECOVERED, ANY, ANY, ISCSI_DONE, 0, NULL },
	{ NOT_READY, 0x04, 0x01, ISCSI_TRY_LATER, EBUSY,
	  "the logical unit is still becoming ready" },
	{ NOT_READY, 0x04, 0x0a, ISCSI_TRY_LATER, EBUSY,
	  "the path to the logical unit is still changing" },
	{ NOT_READY, 0x04, 0x14, ISCSI_TRY_LATER, EBUSY,
	  "the logical unit is still allocating space" },
	{ NOT_READY, 0x08, ANY, ISCSI_FAIL, EIO, /* LIO, whatever it is */
	  "the iSCSI target cannot use its storage, which may have failed or have no space left" },
	{ NOT_READY, 0x3a, ANY, ISCSI_FAIL, ENOMEDIUM, "the logical unit has no medium" },
	{ NOT_READY, ANY, ANY, ISCSI_FAIL, EIO, "the logical unit is not ready" },
	{ MEDIUM, WRITE_ERROR, ANY, ISCSI_FAIL, EIO,
	  "the medium could not be written: it may have failed or have no space left" },
	{ MEDIUM, 0x11, ANY, ISCSI_FAIL, ENODATA, "the medium could not be read" },
	{ MEDIUM, ANY, ANY, ISCSI_FAIL, EIO, "the medium has an error" },
	{ HARDWARE, ANY, ANY, ISCSI_FAIL, EIO, "the hardware of the logical unit has failed" },
	{ ILLEGAL, 0x20, ANY, ISCSI_FAIL, ENOTSUP,
	  "the iSCSI target does not support the command" },
	{ ILLEGAL, 0x21, ANY, ISCSI_FAIL, EINVAL,
	  "the request is beyond the end of the logical unit" },
	{ ILLEGAL, 0x24, ANY, ISCSI_FAIL, ENOTSUP,
	  "the iSCSI target does not support a field of the command" },
	{ ILLEGAL, 0x25, ANY, ISCSI_FAIL, ENXIO,
	  "the iSCSI target has no logical unit with this LUN" },
	{ ILLEGAL, ANY, ANY, ISCSI_FAIL, EINVAL, "the iSCSI target refuses the command" },
	{ ATTENTION, ANY, ANY, ISCSI_TRY_AGAIN, EIO,
	  "the iSCSI target keeps answering with a unit attention" },
	{ PROTECT, 0x27, 0x07, ISCSI_FAIL, ENOSPC,
	  "the thin-provisioned logical unit has no space left" },
	{ PROTECT, 0x27, ANY, ISCSI_FAIL, EROFS, "the logical unit is write-protected" },
	{ PROTECT, ANY, ANY, ISCSI_FAIL, EACCES, "the logical unit does not permit the access" },
	{ ABORTED, ANY, ANY, ISCSI_TRY_LATER, EIO, "the iSCSI target aborted the command" },
	{ OVERFLOW, ANY, ANY, ISCSI_FAIL, ENOSPC, "the logical unit has no space left" },
	{ ANY, ANY, ANY, ISCSI_FAIL, EIO, "the iSCSI target reports an error" },
};

/* What sense data says: SPC-4, 4.5. */
struct sense {
	uint8_t key, asc, ascq;
};

static struct sense parse(const uint8_t *data, size_t len)
{
	struct sense s = { 0 };
	const uint8_t *b = data + 2;

	if (len < 3)
		return s;
	len = min_u64(len - 2, data[0] << 8 | data[1]);
	if (!len)
		return s;
	switch (b[0] & 0x7f) {
	case 0x70: /* fixed format */
	case 0x71:
		if (len > 2)
			s.key = b[2] & 0xf;
		if (len > 13)
			s = (struct sense){ s.key, b[12], b[13] };
		break;
	case 0x72: /* descriptor format */
	case 0x73:
		if (len > 3)
			s = (struct sense){ b[1] & 0xf, b[2], b[3] };
		break;
	}
	return s;
}

static struct iscsi_verdict judge_sense(struct sense s)
{
	size_t i = 0;

	while (!((rows[i].key == s.key || rows[i].key == ANY) &&
		 (rows[i].asc == s.asc || rows[i].asc == ANY) &&
		 (rows[i].ascq == s.ascq || rows[i].ascq == ANY)))
		i++;
	return (struct iscsi_verdict){ rows[i].then, rows[i].error, rows[i].text };
}

/* tgt says of whatever a file refuses that it could not be read. */
static struct sense of_command(struct sense s, bool writes)
{
	return writes && s.key == MEDIUM ? (struct sense){ MEDIUM, WRITE_ERROR, 0 } : s;
}

struct iscsi_verdict iscsi_judge(uint32_t status, const uint8_t *sense, size_t len, bool writes)
{
	switch (status) {
	case ISCSI_GOOD:
	case ISCSI_CONDITION_MET:
		return (struct iscsi_verdict){ ISCSI_DONE };
	case ISCSI_CHECK_CONDITION:
		return judge_sense(of_command(parse(sense, len), writes));
	case ISCSI_BUSY:
	case ISCSI_TASK_SET_FULL:
	case ISCSI_ACA_ACTIVE:
		return (struct iscsi_verdict){ ISCSI_TRY_LATER, EBUSY, "the iSCSI target is busy" };
	case ISCSI_TASK_ABORTED:
		return (struct iscsi_verdict){ ISCSI_TRY_LATER, EIO,
					       "the iSCSI target aborted the command" };
	case ISCSI_RESERVATION_CONFLICT:
		return (struct iscsi_verdict){ ISCSI_FAIL, EBADE,
					       "another initiator has reserved the logical unit" };
	}
	return (struct iscsi_verdict){ ISCSI_FAIL, EIO,
				       "the iSCSI target rejects the command, or its status is "
				       "not valid" };
}
