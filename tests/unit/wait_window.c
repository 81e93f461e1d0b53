/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How long a queue spins before it sleeps: property poll-max-ns. Without a clock where possible. */
#include "common/wait.h"
#include "test.h"

enum { WAITS = 100000, MAX_NS = 50000 };

struct outcome {
	unsigned found, in_vain;
	int64_t spun; /* nanoseconds */
};

/* One wait for what a device does in so many nanoseconds. own_cpu: it needs none of ours for it. */
static void wait_once(struct wait_window *v, int64_t takes, bool own_cpu, struct outcome *o)
{
	int64_t ns = v->ns;

	if (v->rest) {
		v->rest--;
		return;
	}
	if (own_cpu && ns >= takes) {
		o->found++;
		o->spun += takes;
		wait_found(v);
		return;
	}
	o->in_vain += ns > 0;
	o->spun += ns;
	wait_missed(v, own_cpu ? takes : takes + ns);
}

static struct outcome waits(struct wait_window *v, int64_t (*takes)(unsigned i), bool own_cpu)
{
	struct outcome o = { 0 };

	for (unsigned i = 0; i < WAITS; i++)
		wait_once(v, takes(i), own_cpu, &o);
	return o;
}

static int64_t fast(unsigned i)
{
	return 8000 + i % 7 * 100;
}

static int64_t slow(unsigned i)
{
	return 100000 + i % 7 * 1000;
}

static int64_t one_in_ten_is_slow(unsigned i)
{
	return i % 10 ? fast(i) : slow(i);
}

static int64_t one_in_three_is_slow(unsigned i)
{
	return i % 3 ? fast(i) : slow(i);
}

static void fast_device(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS };
	struct outcome o = waits(&v, fast, true);

	(void)d;
	CHECK(o.found >= WAITS - 2);
	CHECK_EQ(o.in_vain, 0);
	CHECK(v.ns < MAX_NS);
}

static void slow_device(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS };
	struct outcome o = waits(&v, slow, true);

	(void)d;
	CHECK_EQ(o.spun, 0);
}

/* The window opens, the device does not get the CPU, and so it costs a window in a thousand waits.
 */
static void device_on_our_cpu(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS };
	struct outcome o = waits(&v, fast, false);

	(void)d;
	CHECK_EQ(o.found, 0);
	CHECK(o.in_vain <= WAITS / 1024 + 5);
}

static void seldom_slow(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS };
	struct outcome o = waits(&v, one_in_ten_is_slow, true);

	(void)d;
	CHECK(o.found >= WAITS * 85 / 100);
}

static void often_slow(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS };
	struct outcome o = waits(&v, one_in_three_is_slow, true);

	(void)d;
	CHECK(o.in_vain <= WAITS / 100);
}

static void becomes_slow_and_fast(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS };
	struct outcome o;

	(void)d;
	waits(&v, fast, true);
	o = waits(&v, slow, true);
	CHECK(o.spun <= 10 * MAX_NS);
	o = waits(&v, fast, true);
	CHECK(o.found >= WAITS - 2000);
}

static unsigned looks;

static bool never(const void *arg)
{
	(void)arg;
	looks++;
	return false;
}

static bool at_the_third_look(const void *arg)
{
	(void)arg;
	return ++looks == 3;
}

static void off_looks_at_nothing(struct device *d)
{
	struct wait_window v = { 0 };

	(void)d;
	looks = 0;
	CHECK(!wait_spin_first(&v, never, NULL, NULL));
	wait_slept(&v);
	CHECK_EQ(looks, 0);
	CHECK_EQ(v.ns, 0);
}

static void what_comes_is_seen(struct device *d)
{
	struct wait_window v = { .max_ns = MAX_NS, .ns = MAX_NS };

	(void)d;
	looks = 0;
	CHECK(wait_spin_first(&v, at_the_third_look, NULL, NULL));
	CHECK_EQ(looks, 3);
	CHECK_EQ(v.credit, 1);
}

/* A timeout that is over ends the window after one round of looks; it was none of the device's. */
static void no_longer_than_the_timeout(struct device *d)
{
	struct timespec now = { 0, 0 };
	struct bk_wait w = { .timeout = &now };
	struct wait_window v = { .max_ns = MAX_NS, .ns = INT64_MAX };

	(void)d;
	looks = 0;
	CHECK(!wait_spin_first(&v, never, NULL, &w));
	CHECK_EQ(looks, WAIT_LOOKS);
}

static void the_first_wait_is_measured(struct device *d)
{
	struct wait_window v = { .max_ns = INT64_MAX / 4 };

	(void)d;
	CHECK(!wait_spin_first(&v, never, NULL, NULL));
	wait_slept(&v);
	CHECK(v.ns > 0);
	CHECK(v.began);
	looks = 0;
	CHECK(wait_spin_first(&v, at_the_third_look, NULL, NULL));
}

static const struct test tests[] = {
	{ "a fast device", fast_device },
	{ "a slow device", slow_device },
	{ "a device on our CPU", device_on_our_cpu },
	{ "seldom slow", seldom_slow },
	{ "often slow", often_slow },
	{ "becomes slow, and fast again", becomes_slow_and_fast },
	{ "off: looks at nothing", off_looks_at_nothing },
	{ "what comes is seen", what_comes_is_seen },
	{ "no longer than the timeout", no_longer_than_the_timeout },
	{ "the first wait is measured", the_first_wait_is_measured },
};
TEST_MAIN(tests)
