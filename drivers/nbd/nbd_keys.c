/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whether there is to be TLS, and with which keys: by the properties and by the URI. */
#include <stdlib.h>

#include "nbd/nbd.h"

static bool is_set(const char *s)
{
	return s && *s;
}

int nbd_parse_tls(const char *property, const char *value)
{
	static const char *const names[] = { "off", "allow", "require" };

	if (!is_set(value))
		return NBD_TLS_OFF;
	for (int i = 0; i < (int)ARRAY_SIZE(names); i++) {
		if (!strcmp(value, names[i]))
			return i;
	}
	return bk_err(EINVAL,
		      "property \"%s\" must be \"off\", \"allow\" or \"require\", got \"%s\"",
		      property, value);
}

static int choose_mode(struct nbd_dev *d, const struct nbd_target *t)
{
	if (t->needs_tls && is_set(d->tls) && strcmp(d->tls, "require"))
		return bk_err(EINVAL,
			      "property \"uri\" requires TLS, and property \"tls\" is \"%s\"",
			      d->tls);
	d->tls_mode = t->needs_tls ? NBD_TLS_REQUIRE : nbd_parse_tls("tls", d->tls);
	return 0;
}

/* What the property or the URI says, but not both. */
static int take(const struct nbd_dev *d, const char *name, const char *property, const char *uri,
		const char **value)
{
	if (is_set(property) && uri)
		return bk_err(EINVAL, "properties \"uri\" and \"%s\" both set %s", name, name);
	/* Nobody is to believe that the connection is safe. */
	if (is_set(property) && d->tls_mode == NBD_TLS_OFF)
		return bk_err(EINVAL,
			      "property \"%s\" requires property \"tls\" to be \"require\" or "
			      "\"allow\"",
			      name);
	*value = is_set(property) ? property : uri;
	return 0;
}

static int take_verify(const struct nbd_dev *d, const struct nbd_target *t, bool *verify)
{
	const char *value = t->verify ? t->verify : "true";
	bool no = !strcmp(value, "false") || !strcmp(value, "0");

	if (!no && strcmp(value, "true") && strcmp(value, "1"))
		return bk_err(EINVAL,
			      "property \"uri\": tls-verify-peer must be true or false, got \"%s\"",
			      value);
	*verify = d->tls_verify_peer && !no;
	return 0;
}

/* Whom this machine trusts are many: one of them will certify anybody, but not any name. */
static int check_config(const struct net_tls_config *c)
{
	if (c->certificates && c->psk_file)
		return bk_err(EINVAL,
			      "properties \"tls-certificates\" and \"tls-psk-file\" are both "
			      "set; set one of them");
	if (c->verify && !c->certificates && !c->psk_file && !is_set(c->hostname))
		return bk_err(EINVAL, "TLS without a host needs property \"tls-hostname\", "
				      "\"tls-certificates\" or \"tls-psk-file\"");
	return 0;
}

int nbd_load_keys(struct nbd_dev *d, const struct nbd_target *t)
{
	struct net_tls_config c = {
		.kernel = d->tls_kernel,
		.can_reconnect = d->comeback.timeout_ms,
	};
	int ret = choose_mode(d, t);

	if (!ret)
		ret = take(d, "tls-certificates", d->tls_certificates, t->certificates,
			   &c.certificates);
	if (!ret)
		ret = take(d, "tls-psk-file", d->tls_psk_file, t->psk_file, &c.psk_file);
	if (!ret)
		ret = take(d, "tls-username", d->tls_username, t->username, &c.username);
	if (!ret)
		ret = take(d, "tls-hostname", d->tls_hostname, t->hostname, &c.hostname);
	if (!ret)
		ret = take_verify(d, t, &c.verify);
	if (ret < 0 || d->tls_mode == NBD_TLS_OFF)
		return ret;
	if (!c.hostname && !t->address.path)
		c.hostname = t->address.host;
	ret = check_config(&c);
	return ret < 0 ? ret : net_tls_load(&c, &d->keys);
}
