/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the vhost-user transport share. */
#ifndef BK_VHOST_USER_H
#define BK_VHOST_USER_H

#include "virtio/vhost_user_msg.h"
#include "virtio/virtio_blk.h"

/* For the answer to one message, from a server that is alive: long. */
#define VU_SECONDS 10

struct vu_dev {
	struct virtio_blk v;
	char *path;
	int fd;	     /* property: a connected socket; the library's once connected */
	int sock;    /* fd, or connected to path; -1 */
	int backend; /* our end of the backend channel; -1 */
	uint64_t protocol_features;
	pthread_mutex_t lock; /* of the conversation and of the memory table */
	struct {
		struct vu_region region[VU_REGIONS_MAX];
		int fd[VU_REGIONS_MAX];
		unsigned n;
	} table; /* for servers without memory slots, which want all regions at once */
};

static inline struct vu_dev *to_vu(struct virtio_blk *v)
{
	return container_of(v, struct vu_dev, v);
}

static inline bool vu_has(const struct vu_dev *d, unsigned protocol_feature)
{
	return d->protocol_features >> protocol_feature & 1;
}

/* vhost_user_call.c; all: 0 or bk_err(). What is no answer is the end of the device. */

/* Send m and get the answer, which must have size bytes, into m. */
int vu_ask(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size);
int vu_ask_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t *value);
/* Send m, with descriptors, and wait until the server has acted on it. */
int vu_tell(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds);
int vu_tell_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t value);

#endif
