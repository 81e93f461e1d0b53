/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* URIs of NVMe/TCP. */
#include "../lib/test.h"
#include "nvme_tcp/nvme_tcp.h"

static void good(struct device *d)
{
	static const struct {
		const char *uri, *host;
		int port;
		const char *subnqn;
		int nsid;
	} cases[] = {
		{ "nvme+tcp://host/nqn.2024-01.test:disk", "host", 4420, "nqn.2024-01.test:disk",
		  0 },
		{ "nvme+tcp://host:8009/nqn.x:y/7", "host", 8009, "nqn.x:y", 7 },
		{ "nvme+tcp://[2001:db8::1]:1/nqn.x:y%2fz/2147483647", "2001:db8::1", 1,
		  "nqn.x:y/z", INT_MAX },
		{ "nvme+tcp://host", "host", 4420, NULL, 0 },
		{ "nvme+tcp://host/", "host", 4420, NULL, 0 },
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nvme_tcp_target t;

		CHECK_OK(nvme_tcp_parse_uri(cases[i].uri, &t));
		CHECK_STR(t.address.host, cases[i].host);
		CHECK_EQ(t.address.port, cases[i].port);
		CHECK_STR(t.subnqn ?: "", cases[i].subnqn ?: "");
		CHECK_EQ(t.nsid, cases[i].nsid);
		nvme_tcp_target_free(&t);
	}
}

static void bad(struct device *d)
{
	static const struct {
		const char *uri, *text;
	} cases[] = {
		{ "", "must begin with" },
		{ "nbd://host/nqn.x:y", "must begin with" },
		{ "nvme+tcp://host/nqn.x:y/0", "namespace ID" },
		{ "nvme+tcp://host/nqn.x:y/2147483648", "namespace ID" },
		{ "nvme+tcp://host/nqn.x:y/", "namespace ID" },
		{ "nvme+tcp://host/nqn.x:y/1x", "namespace ID" },
		{ "nvme+tcp://host/nqn.x:y/-1", "namespace ID" },
		{ "nvme+tcp://host/nqn.x%zz", "%XX" },
		{ "nvme+tcp://host/nqn.x%00", "%XX" },
		{ "nvme+tcp://host:0/nqn.x:y", "port" },
		{ "nvme+tcp://host:65536/nqn.x:y", "port" },
		{ "nvme+tcp://[::1/nqn.x:y", "address" },
	};
	struct nvme_tcp_target t;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_ERR(nvme_tcp_parse_uri(cases[i].uri, &t), EINVAL, cases[i].text,
			  cases[i].uri);
}

static const struct test tests[] = {
	{ "valid ones", good },
	{ "others", bad },
};

TEST_MAIN(tests)
