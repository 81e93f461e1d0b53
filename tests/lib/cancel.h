/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* blkio_cancel() from a signal handler, for tests of calls that only this can end. */
#ifndef TEST_CANCEL_H
#define TEST_CANCEL_H

#include "blkio.h"

/* Until the call has ended, again and again: which signal comes when does not matter. */
void keep_cancelling(struct blkio *b);
void stop_cancelling(void);

#endif
