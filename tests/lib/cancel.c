/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See cancel.h. */
#include <signal.h>
#include <sys/time.h>

#include "cancel.h"
#include "test.h"

static struct blkio *to_cancel;

static void on_alarm(int sig)
{
	(void)sig;
	blkio_cancel(to_cancel);
}

void keep_cancelling(struct blkio *b)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, 20000 }, { 0, 20000 } };

	to_cancel = b;
	SYS(sigaction(SIGALRM, &action, NULL));
	SYS(setitimer(ITIMER_REAL, &often, NULL));
}

void stop_cancelling(void)
{
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };

	SYS(setitimer(ITIMER_REAL, &never, NULL));
}
