/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the vhost-user transport share.
 *
 *	vhost_user.c            properties, the driver
 *	vhost_user_reconnect.c  a server that goes and returns
 *	vhost_user_session.c    connection, handshake, features, configuration
 *	vhost_user_memory.c     the memory that the server maps
 *	vhost_user_vring.c      a guest's rings in place of our own
 *	vhost_user_queue.c      which rings the server is told of, and when
 *	vhost_user_ring.c       a ring: telling the server of it, stopping it
 *	vhost_user_inflight.c   memory in which the server notes what it has in flight
 *	vhost_user_call.c       one message and its answer
 *	vhost_user_msg.[ch]     layout of messages; sending and receiving
 */
#ifndef BK_VHOST_USER_H
#define BK_VHOST_USER_H

#include "common/comeback.h"
#include "virtio/vhost_user_msg.h"
#include "virtio/virtio_blk.h"

#define VU_CONNECT_TIMEOUT_MS 10000 /* the default: from a server that is alive, long */

enum { VU_WATCH_SOCKET, VU_WATCH_BACKEND };

/* A mapped region, which the server may have to be told of again. */
struct vu_memory {
	struct vu_region region;
	int fd;
	bool guest; /* a guest's memory */
	bool shown; /* the server has it */
};

struct vu_dev {
	struct virtio_blk v;
	char *path;
	int fd;	     /* property: a connected socket; the library owns it after connect */
	int sock;    /* fd, or connected to path; -1. Changed with v.wake_lock held */
	int backend; /* our end of the backend channel; -1 */
	uint64_t protocol_features;
	pthread_mutex_t lock; /* recursive; of the conversation and of what follows */
	bool down;	      /* the connection is lost, and may come back; read without lock too */
	bool returning;	      /* the watching thread, with the lock, is at just that */
	bool undoes;	      /* what is sent puts things back, also after blkio_cancel() */
	bool guests_progressed; /* a guest's ring has moved since the last loss */
	bool held;		/* the server has guests' rings and memory, and none of our own */
	struct comeback comeback;
	int64_t abandoned_at; /* of now_ns(); with v.wake_lock, as is ... */
	bool is_cut;	      /* ... that the connection ended on our side alone */
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

/*
 * Control calls take d->lock with these: the watching thread may hold it while it waits for the
 * server, and bk_deadline() bounds that wait, too. What must not fail fails the device when the
 * time is over, and so ends the other thread's wait.
 */
int vu_lock(struct vu_dev *d, const char *what);
void vu_lock_anyway(struct vu_dev *d, const char *what);

/* Send m and get the answer, which must have size bytes, into m. */
int vu_call(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size);
int vu_call_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t *value);
/* An answer that may come with a descriptor; *fd is -1 without. */
int vu_call_fd(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size, int *fd);
/* Send m, with descriptors, and wait until the server has acted on it. */
int vu_send(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds);
int vu_send_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t value);
/* vu_send() for what the server may refuse: then *taken is false, and the call succeeds. */
int vu_offer(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds,
	     bool *taken);
/* Send a message without payload and do not wait: nothing depends on it. */
int vu_notify(struct vu_dev *d, enum vu_request request, const char *what);
/* Whether the connection is lost, and may come back. */
bool vu_is_down(struct vu_dev *d);

/* vhost_user_session.c */

/*
 * Connect to a listening server, waiting for it to have room for another client. Returns the
 * socket.
 */
int vu_connect(const struct vu_dev *d, struct bk_deadline by);
/* On a new connection: agree on (up to) these protocol features, and learn what there is. */
int vu_handshake(struct vu_dev *d, uint64_t protocol_features, uint64_t *offered,
		 unsigned *max_queues, uint64_t *slots);
void vu_close_backend(struct vu_dev *d);
int vu_set_features(struct virtio_blk *v, uint64_t features);
int vu_read_config(struct virtio_blk *v, void *buf, size_t len);
/* Let the watching thread watch this connection. */
void vu_watch(struct vu_dev *d);

/* vhost_user_queue.c: ops of the transport, and ... */
int vu_queue_start(struct virtio_blk *v, struct virtio_queue *q);
void vu_queue_stop(struct virtio_blk *v, struct virtio_queue *q);
void vu_update_queues(struct virtio_blk *v);
int vu_enable_queues(struct vu_dev *d);
/* The server is to let go of all rings, then to go on with those that did. */
int vu_pause_queues(struct vu_dev *d);
int vu_resume_queues(struct vu_dev *d);
/* As the first of them, but it does all that was added: nobody adds more. */
int vu_finish_queues(struct vu_dev *d);
/* Tell a new server of all rings that are ready for it. */
int vu_return_queues(struct vu_dev *d);

/* As with queues: a guest's rings that run, while the server has none of our own. */
int vu_resume_guest(struct vu_dev *d, struct virtio_guest *g);
int vu_pause_guest(struct vu_dev *d, struct virtio_guest *g);
int vu_pause_guests(struct vu_dev *d);
int vu_resume_guests(struct vu_dev *d);
/* -EBUSY, without message: where the last server had got to cannot be known. */
int vu_return_guests(struct vu_dev *d);
/* Whether requests of guests have completed since the last time. */
bool vu_guests_progressed(struct vu_dev *d);

/* vhost_user_ring.c. Of a ring that is stopped, r->base is set. */
int vu_set_ring_addr(struct vu_dev *d, const struct virtio_vring *r, unsigned index);
int vu_set_ring_fd(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
		   int fd);
int vu_set_up_ring(struct vu_dev *d, const struct virtio_vring *r, int call_fd, int kick_fd);
int vu_enable_ring(struct vu_dev *d, unsigned index);
/* The server has it again: set up, enabled and kicked. */
int vu_resume_ring(struct vu_dev *d, struct virtio_vring *r, int call_fd, int kick_fd);
/* Nothing is in flight, or the end is near. */
int vu_stop_ring(struct vu_dev *d, struct virtio_vring *r);
/* Stop a ring, whose kicks come by kick_fd, once the server has finished this. */
enum vu_finish {
	VU_WHAT_WAS_TAKEN, /* from it */
	VU_WHAT_WAS_ADDED, /* to it */
};
int vu_pause_ring(struct vu_dev *d, struct virtio_vring *r, int kick_fd, enum vu_finish finish);
/* Whether a server that is gone can have left nothing undone. */
bool vu_ring_was_idle(const struct vu_dev *d, const struct virtio_vring *r);

/* vhost_user_vring.c: ops of the transport */
int vu_hold(struct virtio_blk *v, const struct virtio_vring *home);
int vu_unhold(struct virtio_blk *v);
int vu_guest_start(struct virtio_blk *v, struct virtio_guest *g);
int vu_guest_stop(struct virtio_blk *v, struct virtio_guest *g);

/* vhost_user_memory.c */
int vu_map(struct virtio_blk *v, struct bk_region *region, int fd, int64_t fd_offset);
void vu_unmap(struct virtio_blk *v, const struct bk_region *region);
/* Tell a new server of all memory that it is to have. */
int vu_return_memory(struct vu_dev *d);
/* Let the server have all memory, or only guests'. No ring is in use. */
int vu_show_memory(struct vu_dev *d, bool only_guests);

/* vhost_user_inflight.c; all do nothing for servers that cannot. */
int vu_get_inflight(struct virtio_blk *v);
int vu_set_inflight(struct vu_dev *d);
void vu_free_inflight(struct vu_dev *d);
/* Where a server that returns goes on with the ring. */
int vu_inflight_base(const struct vu_dev *d, const struct virtio_vring *r, uint32_t *base);
/*
 * Before a stopped ring goes on: notes may be new, and say of a packed ring that it begins. Servers
 * believe them rather than the base. (Of a split ring the used ring says it.)
 */
int vu_note_base(const struct vu_dev *d, const struct virtio_vring *r);
/* The largest ring that it can note of. */
unsigned vu_inflight_size(const struct vu_dev *d);

/* vhost_user_reconnect.c: the connection is lost. NULL when there is another, or why not. */
const char *vu_reconnect(struct vu_dev *d);

#endif
