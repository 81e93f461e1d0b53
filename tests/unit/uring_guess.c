/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* When a ring guesses that completions are there as soon as it has submitted. No kernel here. */
#include "test.h"
#include "uring/ring.h"

enum { ENTRIES = 8, CALLS = 100000 };

static bool always(unsigned call)
{
	(void)call;
	return true;
}

static bool never(unsigned call)
{
	(void)call;
	return false;
}

static bool all_but_some(unsigned call)
{
	return call % 1000 != 999;
}

static bool every_other(unsigned call)
{
	return call % 2;
}

/* One request is submitted and completed; was it guessed that it would be complete at once? */
static bool call(struct uring *u, bool right)
{
	bool guess;

	u->sq_tail++;
	u->room--;
	guess = uring_guess(u);
	u->sq_submitted++;
	if (guess && !right)
		uring_guessed_wrong(u);
	u->room++;
	return guess;
}

static unsigned guesses(struct uring *u, bool (*right)(unsigned call))
{
	unsigned n = 0;

	for (unsigned i = 0; i < CALLS; i++)
		n += call(u, right(i));
	return n;
}

static struct uring idle_ring(void)
{
	return (struct uring){ .room = ENTRIES, .sq_entries = ENTRIES };
}

static void always_right(struct device *d)
{
	struct uring u = idle_ring();

	(void)d;
	CHECK_EQ(guesses(&u, always), CALLS);
}

static void never_right(struct device *d)
{
	struct uring u = idle_ring();

	(void)d;
	CHECK(guesses(&u, never) <= CALLS / 1024 + 5);
}

static void seldom_wrong(struct device *d)
{
	struct uring u = idle_ring();

	(void)d;
	CHECK(guesses(&u, all_but_some) >= CALLS * 9 / 10);
}

static void right_by_chance(struct device *d)
{
	struct uring u = idle_ring();

	(void)d;
	CHECK(guesses(&u, every_other) <= CALLS / 256);
}

/* A file that comes into the cache: soon all guesses are made, and right. */
static void becomes_right(struct device *d)
{
	struct uring u = idle_ring();
	unsigned calls = 1;

	(void)d;
	guesses(&u, never);
	while (!call(&u, true))
		calls++;
	CHECK(calls <= 1025);
	CHECK_EQ(guesses(&u, always), CALLS);
}

/* Their completions may be waiting for a call that looks for them. */
static void others_in_flight(struct device *d)
{
	struct uring u = idle_ring();

	(void)d;
	u.room--;
	CHECK_EQ(guesses(&u, always), 0);
	u.room++;
	CHECK_EQ(guesses(&u, always), CALLS);
}

static const struct test tests[] = {
	{ "always right", always_right, 0 },   { "never right", never_right },
	{ "seldom wrong", seldom_wrong, 0 },   { "right by chance", right_by_chance },
	{ "becomes right", becomes_right, 0 }, { "others in flight", others_in_flight },
};
TEST_MAIN(tests)
