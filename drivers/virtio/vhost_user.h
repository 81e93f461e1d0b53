/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the vhost-user transport share.
 *
 *	vhost_user.c            connecting, properties, the driver
 *	vhost_user_queue.c      the rings: telling the server of them, stopping them
 *	vhost_user_memory.c     the memory that the server maps
 *	vhost_user_inflight.c   memory in which the server notes what it has in flight
 *	vhost_user_reconnect.c  a server that goes and returns
 *	vhost_user_call.c       one message and its answer
 *	vhost_user_msg.[ch]     layout of messages; sending and receiving
 */
#ifndef BK_VHOST_USER_H
#define BK_VHOST_USER_H

#include "virtio/vhost_user_msg.h"
#include "virtio/virtio_blk.h"

/* For the answer to one message, from a server that is alive: long. */
#define VU_SECONDS 10

enum { VU_WATCH_SOCKET, VU_WATCH_BACKEND };

/* A mapped region, for those servers that will be told of it again. */
struct vu_memory {
	struct vu_region region;
	int fd;
};

struct vu_dev {
	struct virtio_blk v;
	char *path;
	int fd;		       /* property: a connected socket; the library's once connected */
	int sock;	       /* fd, or connected to path; -1. Changed with v.wake_lock held */
	int backend;	       /* our end of the backend channel; -1 */
	int reconnect_timeout; /* property: milliseconds; 0: a lost connection is the end */
	uint64_t protocol_features;
	pthread_mutex_t lock; /* recursive; of the conversation and of what follows */
	bool down;	      /* the connection is lost, and may come back; read without lock too */
	bool returning;	      /* the watching thread, with the lock, is at just that */
	int64_t return_by;    /* of now_ns() */
	struct vu_memory *memory;
	unsigned nr_memory;
	struct vu_inflight inflight;   /* what the server answered; the region is in ... */
	int inflight_fd;	       /* -1: none */
	uint8_t config[VU_CONFIG_MAX]; /* as last read */
	uint32_t config_len;
};

static inline struct vu_dev *to_vu(struct virtio_blk *v)
{
	return container_of(v, struct vu_dev, v);
}

static inline bool vu_has(const struct vu_dev *d, unsigned protocol_feature)
{
	return d->protocol_features >> protocol_feature & 1;
}

/* Functions that return int: 0 or bk_err(). */

/*
 * vhost_user_call.c. What is no answer is the end of the device; but where it may come back, a lost
 * connection just makes it down, and for as long all fail with ECONNRESET.
 */

/* Send m and get the answer, which must have size bytes, into m. */
int vu_ask(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size);
int vu_ask_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t *value);
/* An answer that may come with a descriptor; *fd is -1 without. */
int vu_ask_fd(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size, int *fd);
/* Send m, with descriptors, and wait until the server has acted on it. */
int vu_tell(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds);
int vu_tell_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t value);
/* Whether the connection is lost, and may come back. */
bool vu_is_down(struct vu_dev *d);

/* vhost_user.c */

/* Connect to a listening server, waiting for it to accept. Returns the socket. */
int vu_connect(const char *path, int ms);
/* On a new connection: agree on (up to) these protocol features, and learn what there is. */
int vu_greet(struct vu_dev *d, uint64_t protocol_features, uint64_t *offered, unsigned *max_queues,
	     uint64_t *slots);
void vu_close_backend(struct vu_dev *d);
int vu_set_features(struct virtio_blk *v, uint64_t features);
int vu_read_config(struct virtio_blk *v, void *buf, size_t len);
/* Let the watching thread watch this connection. */
void vu_watch(struct vu_dev *d);

/* vhost_user_queue.c: ops of the transport, and ... */
int vu_queue_start(struct virtio_blk *v, struct virtio_queue *q);
void vu_queue_stop(struct virtio_blk *v, struct virtio_queue *q);
void vu_attend(struct virtio_blk *v);
int vu_enable_queues(struct vu_dev *d);
/* The server is to let go of all rings, then to go on with them. */
int vu_pause_queues(struct vu_dev *d);
int vu_resume_queues(struct vu_dev *d);
/* Tell a new server of all rings that are ready for it. */
int vu_return_queues(struct vu_dev *d);

/* vhost_user_memory.c */
int vu_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset);
void vu_unmap(struct blkio *b, const struct bk_region *region);
/* Tell a new server of all memory. */
int vu_return_memory(struct vu_dev *d);

/* vhost_user_inflight.c; all do nothing for servers that cannot. */
int vu_get_inflight(struct virtio_blk *v);
int vu_set_inflight(struct vu_dev *d);
void vu_free_inflight(struct vu_dev *d);
/* Where a server that returns goes on with the ring. */
int vu_inflight_base(const struct vu_dev *d, const struct virtio_queue *q, uint32_t *base);

/* vhost_user_reconnect.c: the connection is lost. NULL when there is another, or why not. */
const char *vu_reconnect(struct vu_dev *d);

#endif
