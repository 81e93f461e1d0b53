/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an emulator does for a guest with a virtio-blk disk, and a thread that plays the guest: it
 * has memory, which it knows by addresses of its own, a virtqueue in it, and eventfds in place of
 * KVM's. First the emulator serves the guest's virtqueue (slow path): it takes each request off the
 * ring and makes one of its own. Then the device serves the ring itself (fast path). The switch is
 * made over and over, while the guest reads. Prints how long a request took on each path.
 *
 * Real emulators check every address and length of the slow path, which is shortened here: this
 * guest reads with three descriptors.
 */
#include <blkio.h>
#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RAM = 1 << 20, DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000, HEADER = 0x4000 };
enum { STATUS = 0x4020, BUFFER = 0x8000, LEN = 4096, SIZE = 64, SWITCHES = 20 };

#define GUEST_AT (4ULL << 30) /* the guest's address of its memory */

static char *ram;
static int kick, call;
static unsigned reads; /* that the guest makes on each path */

static void must(int ret)
{
	if (ret < 0) {
		fprintf(stderr, "%s\n", blkio_get_error_msg());
		exit(EXIT_FAILURE);
	}
}

static void signal_fd(int fd)
{
	must(eventfd_write(fd, 1));
}

/* For so many milliseconds. The server may have made the descriptor one that read() does not wait
 * on. */
static void wait_for(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count;

	if (poll(&p, 1, ms) > 0)
		must(eventfd_read(fd, &count));
}

/* ---- The guest ---------------------------------------------------------------------------- */

static uint16_t load(void *p)
{
	return le16toh(__atomic_load_n((uint16_t *)p, __ATOMIC_SEQ_CST));
}

static void store(void *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)p, htole16(value), __ATOMIC_SEQ_CST);
}

static void add_read(uint16_t index, uint64_t sector)
{
	const struct virtio_blk_outhdr header = { htole32(VIRTIO_BLK_T_IN), 0, htole64(sector) };
	const struct vring_desc chain[] = {
		{ htole64(GUEST_AT + HEADER), htole32(sizeof(header)), htole16(VRING_DESC_F_NEXT),
		  htole16(1) },
		{ htole64(GUEST_AT + BUFFER), htole32(LEN),
		  htole16(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE), htole16(2) },
		{ htole64(GUEST_AT + STATUS), htole32(1), htole16(VRING_DESC_F_WRITE), 0 },
	};
	struct vring_avail *avail = (void *)(ram + AVAIL);

	memcpy(ram + HEADER, &header, sizeof(header));
	memcpy(ram + DESC, chain, sizeof(chain));
	avail->ring[index % SIZE] = 0;
	store(&avail->idx, index + 1);
	signal_fd(kick);
}

/* One read after the other, as long as the emulator lets it run. */
static void *run_guest(void *arg)
{
	struct vring_avail *avail = (void *)(ram + AVAIL);
	struct vring_used *used = (void *)(ram + USED);
	uint16_t index = 0;

	for (unsigned i = 0; !__atomic_load_n((bool *)arg, __ATOMIC_RELAXED); i++) {
		ram[STATUS] = 0x7f;
		store(&avail->ring[SIZE], index); /* the event index: signal the next one */
		add_read(index++, i % 64 * (LEN / 512));
		while (load(&used->idx) != index)
			wait_for(call, -1);
		if (ram[STATUS] != VIRTIO_BLK_S_OK)
			exit(EXIT_FAILURE);
		__atomic_add_fetch(&reads, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* ---- The emulator: slow path -------------------------------------------------------------- */

static void *from_guest(const struct vring_desc *d)
{
	return ram + (le64toh(d->addr) - GUEST_AT);
}

/* The guest's memory is mapped: the data needs no copy. */
static uint8_t relay_read(struct blkioq *q, const struct vring_desc *chain)
{
	const struct virtio_blk_outhdr *header = from_guest(&chain[0]);
	struct blkio_completion c;

	blkioq_read(q, le64toh(header->sector) * 512, from_guest(&chain[1]), le32toh(chain[1].len),
		    NULL, 0);
	must(blkioq_do_io(q, &c, 1, 1, NULL));
	return c.ret < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* base: where the ring was left, and is left. */
static void serve(struct blkioq *q, uint32_t *base, unsigned until)
{
	struct vring_avail *avail = (void *)(ram + AVAIL);
	struct vring_used *used = (void *)(ram + USED);
	struct vring_desc *desc = (void *)(ram + DESC);
	uint16_t index = (uint16_t)*base;

	while (__atomic_load_n(&reads, __ATOMIC_ACQUIRE) < until) {
		if (load(&avail->idx) == index) {
			store(&used->ring[SIZE], index); /* the event index: kick for the next */
			wait_for(kick, 1);
			continue;
		}
		*(uint8_t *)from_guest(&desc[2]) = relay_read(q, desc);
		used->ring[index % SIZE] = (struct vring_used_elem){ 0, htole32(LEN + 1) };
		store(&used->idx, ++index);
		signal_fd(call);
	}
	*base = index;
}

/* ---- The emulator: fast path -------------------------------------------------------------- */

static void pass_through(struct blkio *b, uint32_t *base, unsigned until)
{
	struct blkio_vring ring = {
		.size = SIZE,
		.desc = GUEST_AT + DESC,
		.driver = GUEST_AT + AVAIL,
		.device = GUEST_AT + USED,
		.base = *base,
		.kick_fd = kick,
		.call_fd = call,
		.err_fd = -1,
	};

	must(blkio_start_vring(b, 0, &ring));
	while (__atomic_load_n(&reads, __ATOMIC_ACQUIRE) < until)
		usleep(200); /* the emulator has other things to do */
	must(blkio_stop_vring(b, 0, &ring));
	*base = ring.base;
}

/* ---- Both --------------------------------------------------------------------------------- */

static struct blkio *open_device(const char *path)
{
	struct blkio_mem_region memory = { .len = RAM, .iova = GUEST_AT, .flags = BLKIO_MEM_GUEST };
	struct blkio *b;

	must(blkio_create("virtio-blk-vhost-user", &b));
	must(blkio_set_str(b, "path", path));
	must(blkio_connect(b));
	must(blkio_set_int(b, "num-vrings", 1));
	must(blkio_start(b));
	must(memory.fd = memfd_create("guest", MFD_CLOEXEC));
	must(ftruncate(memory.fd, RAM));
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd, 0);
	memory.addr = ram;
	must(blkio_map_mem_region(b, &memory));
	close(memory.fd);
	return b;
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Usage: emulator SOCKET [READS [fast|slow]]; reads on each path, between two switches. */
int main(int argc, char **argv)
{
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 100, until = 0, made[2] = { 0, 0 };
	double took[2] = { 0, 0 };
	bool end = false;
	uint32_t base = 0;
	pthread_t guest;
	struct blkio *b;

	must((kick = eventfd(0, EFD_CLOEXEC)));
	must((call = eventfd(0, EFD_CLOEXEC)));
	b = open_device(argc > 1 ? argv[1] : "");
	must(-pthread_create(&guest, NULL, run_guest, &end));
	for (int i = 0; i < SWITCHES; i++) {
		bool fast = argc > 3 ? !strcmp(argv[3], "fast") : i % 2;
		double begin = now_us();

		__atomic_store_n(&end, i == SWITCHES - 1, __ATOMIC_RELAXED);
		until = __atomic_load_n(&reads, __ATOMIC_ACQUIRE) + (end ? 1 : n);
		if (fast)
			pass_through(b, &base, until);
		else
			serve(blkio_get_queue(b, 0), &base, until);
		if (!end) {
			took[fast] += now_us() - begin;
			made[fast] += n;
		}
	}
	pthread_join(guest, NULL);
	for (int fast = 0; fast < 2; fast++) {
		if (made[fast])
			printf("%s: %u reads, %.1f us each\n", fast ? "fast" : "slow", made[fast],
			       took[fast] / made[fast]);
	}
	blkio_destroy(&b);
	return 0;
}
