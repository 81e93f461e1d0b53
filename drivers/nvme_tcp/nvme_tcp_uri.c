/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* URIs: nvme+tcp://HOST[:PORT]/SUBNQN[/NSID] */
#include <stdlib.h>

#include "net/uri.h"
#include "nvme_tcp/nvme_tcp.h"

#define SCHEME "nvme+tcp://"

void nvme_tcp_target_free(struct nvme_tcp_target *t)
{
	free(t->memory);
	*t = (struct nvme_tcp_target){ 0 };
}

static bool parse_nsid(const char *s, int *nsid)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*end || *s < '0' || *s > '9' || n < 1 || n > INT_MAX)
		return false;
	*nsid = (int)n;
	return true;
}

/* NULL, or what must be otherwise. */
static const char *parse(char *s, struct nvme_tcp_target *t)
{
	char *subnqn = net_uri_cut(s, '/'), *nsid = subnqn ? strrchr(subnqn, '/') : NULL;

	if (nsid) {
		*nsid++ = '\0';
		if (!parse_nsid(nsid, &t->nsid))
			return "the namespace ID must be a number from 1 to 2147483647";
	}
	if (subnqn && *subnqn) {
		if (!net_uri_decode(subnqn))
			return "%XX is not valid";
		t->subnqn = subnqn;
	}
	t->address.port = NVME_TCP_PORT;
	return net_uri_authority(s, &t->address);
}

int nvme_tcp_parse_uri(const char *uri, struct nvme_tcp_target *t)
{
	const char *problem;

	if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
		return bk_err(EINVAL, "property \"uri\" (\"%s\") must begin with \"" SCHEME "\"",
			      uri);
	*t = (struct nvme_tcp_target){ .memory = strdup(uri + strlen(SCHEME)) };
	if (!t->memory)
		return bk_err(ENOMEM, "out of memory");
	problem = parse(t->memory, t);
	if (!problem)
		return 0;
	nvme_tcp_target_free(t);
	return bk_err(EINVAL, "property \"uri\" (\"%s\"): %s", uri, problem);
}
