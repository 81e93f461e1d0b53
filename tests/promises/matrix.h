/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Promises, each under every condition that could break it. A promise is a row: what it says, the
 * targets it holds for (tests/lib/device.h), and the kinds of queue and the conditions it is tried
 * with. Every combination is a case of its own: "PROMISE (KIND, CONDITION) on TARGET". What cannot
 * be put up is skipped with the reason. A file of this folder is one promise, or a few that go
 * together: a table of rows and PROMISES(table).
 */
#ifndef TEST_MATRIX_H
#define TEST_MATRIX_H

#include "io.h"
#include "sys.h"
#include "test.h"

enum kind {
	PLAIN,
	POLL,
	SINGLE_ISSUER,
	SQ_POLL,
	REGISTERED, /* register-buffers */
	BOUNCED,    /* bounce-buffers */
	SPINNING,   /* poll-max-ns */
	NR_KINDS
};

enum condition {
	QUIET,
	SIGNALS,	/* a timer interrupts the thread every millisecond */
	OTHER_THREAD,	/* than the one that used the queues makes the call */
	SILENT,		/* the device does not answer */
	PEER_STOPPED,	/* the server is stopped */
	PEER_DEAD,	/* the server is killed */
	FAILED_BEFORE,	/* calls on the instance failed before */
	SEVERAL_QUEUES, /* of the same kind */
	EXHAUSTED,	/* the process has no descriptors left */
	ALL_AT_ONCE,	/* SIGNALS in OTHER_THREAD with SEVERAL_QUEUES */
	NR_CONDITIONS
};

#define KIND(k)	       (1u << (k))
#define CONDITION(c)   (1u << (c))
#define ALL_KINDS      (KIND(NR_KINDS) - 1)
#define ALL_CONDITIONS (CONDITION(NR_CONDITIONS) - 1)

/* One combination. */
struct setting {
	struct device *d;
	enum kind kind;
	enum condition condition;
	struct blkio *b;  /* from setting_start() on */
	int fd;		  /* to be given as "fd" in place of the path; 0: none */
	int reconnect_ms; /* "reconnect-timeout"; 0: as it is */
	int nr_queues;
	void *data;	   /* the promise's own */
	const void *about; /* of the promise */
};

struct promise {
	const char *name;
	void (*run)(struct setting *s);
	unsigned traits, without;   /* of targets, as in struct test */
	unsigned kinds, conditions; /* KIND()s, CONDITION()s */
	unsigned timeout;	    /* seconds; 0: the default of 20 */
	const void *about;	    /* for run(), of which one may serve several promises */
};

/* Start an instance with queues of the kind; skips where the device or the kernel has none. */
void setting_start(struct setting *s);
struct blkioq *setting_queue(struct setting *s, int index);

/* For a promise that has a poll queue ended by another thread than the one that used it. */
void skip_poll_by_another_thread(const struct setting *s);

/*
 * Make the call that the promise is about, under the condition: while signals come, in another
 * thread, with the server stopped or killed.
 */
void setting_call(struct setting *s, void (*call)(struct setting *s));

int promises_main(int argc, char **argv, const struct promise *promises, size_t n);

#define PROMISES(table)                                                                            \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return promises_main(argc, argv, table, ARRAY_LEN(table));                         \
	}

#endif
