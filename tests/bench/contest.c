/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See contest.h. */
#include <string.h>

#include "contest.h"

enum { MAX_CONTENDERS = 8 };

struct contest contest_parse(int argc, char **argv)
{
	struct contest c;

	if (argc < 6 || argc > 7)
		bench_die(argv[0], "needs PATH LEN DEPTH REQUESTS ROUNDS [CONTENDER]");
	c = (struct contest){
		.w = { .path = argv[1],
		       .len = bench_number(argv[2]),
		       .depth = bench_number(argv[3]) },
		.requests = bench_number(argv[4]),
		.rounds = bench_number(argv[5]),
		.only = argv[6],
	};
	if (c.w.depth > c.requests)
		bench_die(argv[3], "the depth is above the number of requests");
	return c;
}

static bool takes_part(const struct contest *c, const struct contender *who)
{
	if (c->only && strcmp(c->only, who->name))
		return false;
	return !who->library || who->library->create;
}

static void measure(const struct contest *c, const struct contender *who, void *state,
		    unsigned round)
{
	int64_t begin = bench_now_ns();

	who->run(state, &c->w, c->requests);
	printf("{\"contender\": \"%s\", \"round\": %u, \"ns\": %.3f}\n", who->name, round,
	       (double)(bench_now_ns() - begin) / c->requests);
}

void contest_run(const struct contest *c, const struct contender *contenders, unsigned n)
{
	void *state[MAX_CONTENDERS] = { 0 };
	unsigned chosen = 0;

	if (c->w.size < c->w.len)
		bench_die(c->w.path, "is too small");
	for (unsigned i = 0; i < n; i++) {
		if (!takes_part(c, &contenders[i]))
			continue;
		state[i] = contenders[i].open(&c->w, &contenders[i]);
		chosen++;
	}
	if (!chosen)
		bench_die(c->only, "no such contender");
	for (unsigned round = 0; round < c->rounds; round++) {
		for (unsigned k = 0; k < n; k++) {
			unsigned i = (round + k) % n;

			if (state[i])
				measure(c, &contenders[i], state[i], round);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		if (state[i])
			contenders[i].close(state[i]);
	}
}
