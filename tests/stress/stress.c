/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Everything at once, for as long as one likes: threads with several queues each do random requests
 * in random ways, while memory is mapped and unmapped and queues come and go; every byte that is
 * read is checked, and at the end the whole device, also behind the library's back.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "lane.h"
#include "sys.h"
#include "test.h"

enum { LANES = 2, ROUNDS = 64, ODD_BLOCK = 509, DEFAULT_SECONDS = 2, MARGIN_SECONDS = 60 };

static unsigned seconds = DEFAULT_SECONDS, nr_threads = 2;
static uint32_t seed;
static struct totals *totals; /* shared with the processes of the cases */

/* ---- Threads ------------------------------------------------------------------------------ */

struct worker {
	pthread_t thread;
	struct stress *s;
	unsigned number;
	int64_t end_ns;
	uint64_t random;
	uint32_t writes;
	struct lane lanes[LANES];
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (clock_ns() < w->end_ns) {
		for (int i = 0; i < ROUNDS * LANES; i++) {
			lane_submit(&w->lanes[i % LANES]);
			lane_collect(&w->lanes[i % LANES]);
		}
		for (int i = 0; i < LANES; i++) {
			if (random_below(&w->random, 2))
				continue;
			lane_drain(&w->lanes[i]);
			lane_change(&w->lanes[i]);
		}
	}
	for (int i = 0; i < LANES; i++)
		lane_close(&w->lanes[i]);
	return NULL;
}

static void start_worker(struct worker *w, struct stress *s, unsigned number)
{
	*w = (struct worker){
		.s = s,
		.number = number,
		.end_ns = clock_ns() + seconds * 1000000000LL,
		.random = ((uint64_t)seed << 8 | number) + 1,
	};
	for (int i = 0; i < LANES; i++) {
		w->lanes[i] = (struct lane){
			.s = s,
			.thread = number,
			.random = &w->random,
			.writes = &w->writes,
		};
		lane_open(&w->lanes[i], (int)number * LANES + i);
	}
	CHECK_EQ(pthread_create(&w->thread, NULL, work, w), 0);
}

static void run_workers(struct stress *s)
{
	struct worker *workers = calloc(s->nr_threads, sizeof(*workers));

	CHECK(workers);
	for (unsigned i = 0; i < s->nr_threads; i++)
		start_worker(&workers[i], s, i);
	for (unsigned i = 0; i < s->nr_threads; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	free(workers);
}

/* ---- One run -------------------------------------------------------------------------------- */

enum way {
	PLAIN = 0,
	OPT_INS = 1 << 0, /* io_uring: single-issuer, register-buffers */
	SQ_POLL = 1 << 1,
	BOUNCE = 1 << 2,
};

static struct blkio *start_instance(struct device *d, enum way way)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_connect(b));
	if (way & BOUNCE)
		CHECK_OK(blkio_set_int(b, "bounce-buffers", 4)); /* fewer than requests */
	CHECK_OK(blkio_set_int(b, "num-queues", (int)nr_threads * LANES));
	if (d->target->traits & T_IO_URING) {
		CHECK_OK(blkio_set_int(b, "num-entries", 8)); /* also fewer */
		CHECK_OK(blkio_set_bool(b, "single-issuer", way & OPT_INS));
		CHECK_OK(blkio_set_bool(b, "register-buffers", way & OPT_INS));
		CHECK_OK(blkio_set_bool(b, "sq-poll", way & SQ_POLL));
	}
	if ((d->target->traits & (T_KERNEL | T_IO_URING)) == T_KERNEL)
		CHECK_OK(blkio_set_int(b, "num-threads", 8));
	CHECK_OK(blkio_start(b));
	return b;
}

static size_t limit(uint64_t value)
{
	return value && value < CHUNK ? value : CHUNK;
}

static void init_stress(struct stress *s, struct device *d, enum way way)
{
	size_t block;

	s->b = start_instance(d, way);
	pthread_mutex_init(&s->control, NULL);
	s->totals = totals;
	s->nr_threads = nr_threads;
	s->buf_align = way & BOUNCE ? 1 : (size_t)get_int(s->b, "buf-alignment");
	s->max_io = limit((uint64_t)get_int(s->b, "max-transfer"));
	s->max_discard = limit(get_u64(s->b, "max-discard-len"));
	s->max_zeroes = limit(get_u64(s->b, "max-write-zeroes-len"));
	s->max_segments = get_int(s->b, "max-segments");
	if (s->max_segments > SEGMENTS)
		s->max_segments = SEGMENTS;
	s->must_map = get_bool(s->b, "needs-mem-regions") && !(way & BOUNCE);
	s->may_remap = !(d->target->traits & T_VDUSE);
	s->may_add_queues = d->target->traits & T_ADD_QUEUES;
	/* Where any length goes, one that fits nothing. */
	block = d->target->block_size > 1 ? d->target->block_size : ODD_BLOCK;
	shadow_init(&s->shadow, seed, block, DEVICE_SIZE / block);
}

/* All of the device, by another instance, and from behind. */
static void check_device(struct stress *s, struct device *d)
{
	size_t block = s->shadow.block, n = CHUNK / block;
	struct blkio *b = device_start(d);
	char *buf = buffer(CHUNK);

	for (size_t at = 0; at < s->shadow.nr; at += n) {
		size_t left = s->shadow.nr - at < n ? s->shadow.nr - at : n;
		struct blkio_completion c;

		blkioq_read(blkio_get_queue(b, 0), at * block, buf, left * block, NULL, 0);
		CHECK_EQ(blkioq_do_io(blkio_get_queue(b, 0), &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
		totals->verified += shadow_check(&s->shadow, at, left, buf);
		device_peek(d, at * block, buf, left * block);
		totals->verified += shadow_check(&s->shadow, at, left, buf);
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

static void run(struct device *d, enum way way)
{
	struct stress s = { 0 };

	init_stress(&s, d, way);
	run_workers(&s);
	blkio_destroy(&s.b);
	check_device(&s, d);
	shadow_free(&s.shadow);
	pthread_mutex_destroy(&s.control);
}

static void plain(struct device *d)
{
	run(d, PLAIN);
}

static void opt_ins(struct device *d)
{
	run(d, OPT_INS);
}

static void sq_poll(struct device *d)
{
	run(d, SQ_POLL);
}

static void bounce(struct device *d)
{
	run(d, BOUNCE);
}

static struct test tests[] = {
	{ "plain", plain, T_STORES },
	{ "single issuers, registered buffers", opt_ins, T_STORES | T_IO_URING },
	{ "sq-poll", sq_poll, T_STORES | T_IO_URING | T_DIRECT },
	{ "bounce buffers", bounce, T_STORES | T_ALIGNED },
	{ "bounce buffers in place of regions", bounce, T_STORES | T_REGIONS },
};

/* ---- The program -------------------------------------------------------------------------- */

static void help(void)
{
	printf("stress [--seconds N] [--threads N] [--seed N] [OPTION...] [CASE...]\n"
	       "  --seconds N    how long each case takes on each target (default: %d)\n"
	       "  --threads N    threads, of %d queues each (default: 2)\n"
	       "  --seed N       of what is done where, and of the data (default: the time)\n"
	       "At the end, also by SIGINT, it prints what was done so far. And of all tests:\n\n",
	       DEFAULT_SECONDS, LANES);
}

/* Those that all tests have are left for the harness. */
static int take_options(int argc, char **argv)
{
	int n = 1;

	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (has_value && !strcmp(argv[i], "--seconds"))
			seconds = (unsigned)atoi(argv[++i]);
		else if (has_value && !strcmp(argv[i], "--threads"))
			nr_threads = (unsigned)atoi(argv[++i]);
		else if (has_value && !strcmp(argv[i], "--seed"))
			seed = (uint32_t)strtoul(argv[++i], NULL, 10);
		else
			argv[n++] = argv[i];
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			help();
	}
	argv[n] = NULL;
	return n;
}

static void print_totals(const struct totals *t)
{
	printf("# seed %u: %.1f MB verified; %llu reads, %llu writes, %llu zeroes, %llu discards, "
	       "%llu flushes; %llu errors\n",
	       seed, (double)t->verified / 1e6, (unsigned long long)t->done[READ],
	       (unsigned long long)t->done[WRITE], (unsigned long long)t->done[WRITE_ZEROES],
	       (unsigned long long)t->done[DISCARD], (unsigned long long)t->done[FLUSH],
	       (unsigned long long)t->errors);
	printf("# regions mapped %llu times, queues replaced %llu times, %llu waits timed out\n",
	       (unsigned long long)t->maps, (unsigned long long)t->queues,
	       (unsigned long long)t->timeouts);
}

int main(int argc, char **argv)
{
	int ret;

	seed = (uint32_t)time(NULL);
	argc = take_options(argc, argv);
	if (!seconds || !nr_threads || nr_threads > 2) {
		fprintf(stderr, "stress: --seconds must be a number from 1 on, --threads 1 or 2\n");
		return 2;
	}
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tests[i].timeout = seconds + MARGIN_SECONDS;
	totals =
	    mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED) {
		perror("stress");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	ret = test_main(argc, argv, tests, ARRAY_LEN(tests));
	print_totals(totals);
	return ret;
}
