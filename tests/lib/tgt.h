/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tgtd as an iSCSI target, for one test case: target TGT_NAME, a logical unit with number 1. Needs
 * no privileges.
 */
#ifndef TEST_TGT_H
#define TEST_TGT_H

#include <stdbool.h>
#include <sys/types.h>

#define TGT_NAME "iqn.2024-01.test:disk"

struct tgt {
	const char *file;    /* the disk */
	unsigned block_size; /* 0: 512 */
	const char *params;  /* of the logical unit, such as "readonly=1"; NULL: it is thin */
	const char *user, *password;		   /* that initiators need; NULL: none */
	const char *target_user, *target_password; /* by which it authenticates itself */
	pid_t pid;				   /* 0: none */
	int port;
	char control[108];
};

/*
 * Start it on a free port of 127.0.0.1, or again on the same; skips where it is not installed.
 * Returns when it serves. It dies with the test case.
 */
void tgt_start(struct tgt *t);
/* A command of tgtadm: what follows "tgtadm --lld iscsi". Returns whether it succeeded. */
bool tgt_admin(const struct tgt *t, const char *command);
/* Kill it and wait for its end. */
void tgt_kill(struct tgt *t);
/* iscsi://127.0.0.1:PORT/TGT_NAME/1 */
const char *tgt_uri(const struct tgt *t);

#endif
