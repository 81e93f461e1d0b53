/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nbd_proto.h. */
#include "nbd/nbd_proto.h"

/* ---- Negotiation -------------------------------------------------------------------------- */

int nbd_parse_greeting(const uint8_t p[NBD_GREETING_LEN], uint16_t *flags)
{
	if (nbd_get64(p) != NBD_MAGIC)
		return bk_err(EPROTO, "the server does not speak NBD");
	if (nbd_get64(p + 8) == NBD_OLD_STYLE_MAGIC)
		return bk_err(ENOTSUP, "the NBD server speaks only the old-style protocol, which "
				       "has no exports");
	if (nbd_get64(p + 8) != NBD_OPTION_MAGIC)
		return bk_err(EPROTO, "the NBD server's greeting is not valid");
	*flags = nbd_get16(p + 16);
	if (!(*flags & NBD_HANDSHAKE_FIXED_NEWSTYLE))
		return bk_err(ENOTSUP, "the NBD server does not support the fixed newstyle "
				       "handshake");
	return 0;
}

void nbd_build_option(uint8_t out[NBD_OPTION_LEN], enum nbd_option option, uint32_t len)
{
	nbd_put64(out, NBD_OPTION_MAGIC);
	nbd_put32(out + 8, option);
	nbd_put32(out + 12, len);
}

/* A string, behind its length. Returns where it ends. */
static uint8_t *put_string(uint8_t *out, const char *s)
{
	size_t len = strlen(s);

	nbd_put32(out, len);
	memcpy(out + 4, s, len);
	return out + 4 + len;
}

size_t nbd_build_go(uint8_t out[NBD_ASK_MAX], const char *name)
{
	uint8_t *p = put_string(out, name);

	nbd_put16(p, 1);
	nbd_put16(p + 2, NBD_INFO_BLOCK_SIZE);
	return p + 4 - out;
}

size_t nbd_build_context(uint8_t out[NBD_ASK_MAX], const char *name)
{
	uint8_t *p = put_string(out, name);

	nbd_put32(p, 1);
	return put_string(p + 4, NBD_CONTEXT) - out;
}

int nbd_parse_option_reply(const uint8_t p[NBD_OPTION_REPLY_LEN], enum nbd_option option,
			   uint32_t *type, uint32_t *len)
{
	if (nbd_get64(p) != NBD_OPTION_REPLY_MAGIC)
		return bk_err(EPROTO, "the NBD server's reply to option %d is not valid", option);
	if (nbd_get32(p + 8) != (uint32_t)option)
		return bk_err(EPROTO, "the NBD server replied to option %u instead of %d",
			      nbd_get32(p + 8), option);
	*type = nbd_get32(p + 12);
	*len = nbd_get32(p + 16);
	if (*len > NBD_OPTION_DATA_MAX)
		return bk_err(EPROTO,
			      "the NBD server's reply to option %d has %u bytes, which is more "
			      "than %d",
			      option, *len, NBD_OPTION_DATA_MAX);
	return 0;
}

int nbd_parse_info(const uint8_t *p, size_t len, struct nbd_export *e, bool *has_export)
{
	uint16_t type;

	if (len < 2)
		goto bad;
	type = nbd_get16(p);
	if (type == NBD_INFO_EXPORT) {
		if (len != 12)
			goto bad;
		e->size = nbd_get64(p + 2);
		e->flags = nbd_get16(p + 10);
		*has_export = true;
	} else if (type == NBD_INFO_BLOCK_SIZE) {
		if (len != 14)
			goto bad;
		e->has_blocks = true;
		e->min_block = nbd_get32(p + 2);
		e->preferred_block = nbd_get32(p + 6);
		e->max_transfer = nbd_get32(p + 10);
	}
	return 0;
bad:
	return bk_err(EPROTO, "the NBD server sent information of %zu bytes that is not valid",
		      len);
}

int nbd_parse_context(const uint8_t *p, size_t len, struct nbd_export *e)
{
	const size_t name = strlen(NBD_CONTEXT);

	if (len != 4 + name || memcmp(p + 4, NBD_CONTEXT, name))
		return bk_err(EPROTO, "the NBD server offered a context other than the one that "
				      "was asked for, " NBD_CONTEXT);
	if (e->has_context)
		return bk_err(EPROTO, "the NBD server offered context " NBD_CONTEXT " twice");
	e->has_context = true;
	e->context = nbd_get32(p);
	return 0;
}

static int check_blocks(const struct nbd_export *e)
{
	if (!is_power_of_2(e->min_block) || e->min_block > NBD_BLOCK_MAX)
		return bk_err(EPROTO,
			      "the NBD server's minimum block size is %u, which is not a power of "
			      "two from 1 to %d",
			      e->min_block, NBD_BLOCK_MAX);
	if (!is_power_of_2(e->preferred_block) || e->preferred_block < e->min_block ||
	    e->preferred_block > INT32_MAX)
		return bk_err(EPROTO,
			      "the NBD server's preferred block size is %u, which is not a power "
			      "of two from its minimum (%u) on",
			      e->preferred_block, e->min_block);
	if (e->max_transfer < e->min_block)
		return bk_err(EPROTO,
			      "the NBD server's maximum block size is %u, which is below its "
			      "minimum (%u)",
			      e->max_transfer, e->min_block);
	return 0;
}

int nbd_check_export(struct nbd_export *e)
{
	int ret;

	/* What the driver has no use for may come and go. */
	e->flags &= NBD_FLAGS_USED;
	/* A server that does not say should take any block; for some it takes this one. */
	if (!e->has_blocks) {
		e->min_block = e->size % 512 ? 1 : 512;
		e->preferred_block = 4096;
		e->max_transfer = NBD_TRANSFER;
	}
	ret = check_blocks(e);
	if (ret < 0)
		return ret;
	if (e->size > INT64_MAX)
		return bk_err(EPROTO,
			      "the NBD server's export has %llu bytes, which is not below "
			      "2^63",
			      (unsigned long long)e->size);
	e->size &= ~((uint64_t)e->min_block - 1);
	e->max_transfer = min_u64(e->max_transfer, NBD_TRANSFER_MAX) & ~(e->min_block - 1);
	return 0;
}

/* Up to len bytes of the server's text, without what would garble a terminal. */
static const char *printable(const uint8_t *text, size_t len, char *out, size_t size)
{
	size_t n = min_u64(len, size - 1);

	for (size_t i = 0; i < n; i++)
		out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
	out[n] = 0;
	return out;
}

int nbd_refused(const char *name, uint32_t type, const uint8_t *text, size_t len)
{
	char said[256];

	printable(text, len, said, sizeof(said));
	switch ((int)type) {
	case NBD_REP_ERR_UNKNOWN:
		return bk_err(ENOENT, "the NBD server has no export named \"%s\"%s%s", name,
			      *said ? ": " : "", said);
	case NBD_REP_ERR_TLS_REQD:
		return bk_err(EACCES,
			      "the NBD server requires TLS for export \"%s\"; set property "
			      "\"tls\" to \"require\"",
			      name);
	case NBD_REP_ERR_POLICY:
		return bk_err(EACCES, "the NBD server denies access to export \"%s\"%s%s", name,
			      *said ? ": " : "", said);
	case NBD_REP_ERR_SHUTDOWN:
		return bk_err(ECONNREFUSED, "the NBD server is shutting down");
	default:
		return bk_err(EPROTO, "the NBD server refuses export \"%s\" with error %#x%s%s",
			      name, type, *said ? ": " : "", said);
	}
}

int nbd_list_refused(uint32_t type, const uint8_t *text, size_t len)
{
	char said[256];

	printable(text, len, said, sizeof(said));
	if ((int)type == NBD_REP_ERR_UNSUP)
		return bk_err(ENOTSUP, "the NBD server does not list its exports");
	if ((int)type == NBD_REP_ERR_TLS_REQD)
		return bk_err(EACCES, "the NBD server requires TLS to list its exports");
	if ((int)type == NBD_REP_ERR_POLICY)
		return bk_err(EACCES, "the NBD server refuses to list its exports%s%s",
			      *said ? ": " : "", said);
	return bk_err(EPROTO, "the NBD server does not list its exports, with error %#x%s%s", type,
		      *said ? ": " : "", said);
}

int nbd_parse_server(const uint8_t *p, size_t len, struct bk_exports *x)
{
	uint32_t name = len < 4 ? 0 : nbd_get32(p);

	if (len < 4 || name > len - 4 || name > NBD_NAME_MAX)
		return bk_err(EPROTO,
			      "the NBD server sent an entry of its list, of %zu bytes, that is not "
			      "valid",
			      len);
	return bk_export_add(x, (const char *)p + 4, name, (const char *)p + 4 + name,
			     len - 4 - name);
}

/* ---- Errors ------------------------------------------------------------------------------- */

/* The protocol has numbers of its own, which are Linux's on most architectures. */
int nbd_errno(uint32_t error)
{
	switch (error) {
	case 1:
		return EPERM;
	case 5:
		return EIO;
	case 12:
		return ENOMEM;
	case 28:
		return ENOSPC;
	case 75:
		return EOVERFLOW;
	case 95:
		return ENOTSUP;
	case 108:
		return ESHUTDOWN;
	default: /* 22; others are to be taken for it */
		return EINVAL;
	}
}
