/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An NVMe/TCP target of our own, for one test case: a process that serves a file as namespace 1 of
 * subsystem NVME_TARGET_NQN. It does what the kernel's target never does, as far as the protocol
 * permits that, and, if told to, what it does not permit.
 */
#ifndef TEST_NVME_TARGET_H
#define TEST_NVME_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NVME_TARGET_NQN "nqn.2024-01.test:disk"

/* What it does wrong, once in each I/O queue. */
enum nvme_target_lie {
	NVME_TARGET_HONEST,
	NVME_TARGET_CLOSES,	/* the connection */
	NVME_TARGET_TERMINATES, /* the connection: C2HTermReq */
	NVME_TARGET_BAD_HEADER_DIGEST,
	NVME_TARGET_BAD_DATA_DIGEST, /* of data that it sends, once */
	NVME_TARGET_BAD_CID,	     /* in a response */
	NVME_TARGET_TWICE,	     /* responds */
	NVME_TARGET_NO_DATA,	     /* but success, for a read */
	NVME_TARGET_MUCH_DATA,	     /* more than was asked for */
	NVME_TARGET_WRONG_OFFSET,    /* of data that it sends */
	NVME_TARGET_DATA_FOR_WRITE,
	NVME_TARGET_R2T_FOR_READ,
	NVME_TARGET_R2T_TOO_LONG,
	NVME_TARGET_R2T_TWICE,
	NVME_TARGET_BAD_TYPE,
	NVME_TARGET_BAD_HLEN,
	NVME_TARGET_BAD_PLEN,
	NVME_TARGET_BAD_PDO,
	NVME_TARGET_GARBAGE,
	NVME_TARGET_VANISHES,	  /* responds, and then it is as if its machine were gone */
	NVME_TARGET_FALLS_SILENT, /* closes the connection, once, and older ones get no answers */
};

struct nvme_target {
	const char *file;
	/* Of its controllers; 0 where that says nothing. */
	unsigned block_size;   /* 512 */
	unsigned capsule_data; /* bytes in a capsule of an I/O queue */
	unsigned max_data;     /* bytes in one H2CData; 0: 128 KiB */
	unsigned r2t_max;      /* bytes that it asks for at a time; 0: all */
	unsigned c2h_max;      /* bytes in one C2HData; 0: all */
	unsigned align;	       /* CPDA */
	unsigned queues;       /* 0: 8 */
	bool responds;	       /* also after data that could have said so itself */
	bool no_digests;       /* refuses them */
	bool asks_connect;     /* for the data of Connect, for which capsules have no room */
	bool read_only;
	uint8_t uuid, nguid, eui64; /* of the namespace: so in each byte; 0: it has none */
	const char *host;	    /* the only one that it allows; NULL: any */
	unsigned status;	    /* with which I/O commands fail */
	enum nvme_target_lie lie;
	unsigned after; /* so many I/O commands that it serves as it should */
	pid_t pid;	/* 0: none */
	int port;
};

/* Start it on a free port of 127.0.0.1, or again on the same. It dies with the test case. */
void nvme_target_start(struct nvme_target *t);
/* Kill it and wait for its end. */
void nvme_target_kill(struct nvme_target *t);
/* The two parts of it, for a program that is the target: a listening socket on t->port, or on a
 * free port, which is then noted; and what the process does from then on.
 */
int nvme_target_listen(struct nvme_target *t);
_Noreturn void nvme_target_run(const struct nvme_target *t, int listener);
/* nvme+tcp://127.0.0.1:PORT/NVME_TARGET_NQN/1 */
const char *nvme_target_uri(const struct nvme_target *t);

#endif
