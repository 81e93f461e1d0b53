/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A library that is loaded when it is needed: most applications never need it, nor the libraries
 * that it brings along.
 */
#ifndef BK_COMMON_LIBRARY_H
#define BK_COMMON_LIBRARY_H

#include "driver.h"

struct library_function {
	const char *name;
	void **to;
};

struct library {
	const char *name;			  /* with its version: libfoo.so.1 */
	const char *package;			  /* of Debian, that has it */
	const char *user;			  /* what needs it, for the message */
	const struct library_function *functions; /* the last one has no name */
	pthread_mutex_t lock;
	bool is_loaded;
};

/*
 * Once it has returned 0, all functions are there, for good; or bk_err(), and the next call tries
 * again. From any thread.
 */
int library_load(struct library *l);

#endif
