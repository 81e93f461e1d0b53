/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Certificates and pre-shared keys: files are read once, before the first connection. */
#include "net/tls_gnutls.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PSK_LINE_MAX 4096

struct path {
	char s[4096];
};

static struct path path_in(const char *dir, const char *name)
{
	struct path p;

	snprintf(p.s, sizeof(p.s), "%s/%s", dir, name);
	return p;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* What gnutls returned for a file: 0 or more is fine. */
static int check_file(int ret, const char *path)
{
	return ret >= 0 ? 0 : bk_err(EINVAL, "cannot use %s: %s", path, net_gnutls.strerror(ret));
}

/* ---- Certificates ------------------------------------------------------------------------- */

static int trust_machine(struct net_tls_keys *k)
{
	int ret = net_gnutls.certificate_set_x509_system_trust(k->certificates);

	/* Nobody to trust: the handshake will say so. */
	return ret >= 0 || ret == GNUTLS_E_UNIMPLEMENTED_FEATURE
		   ? 0
		   : bk_err(EINVAL, "cannot read this machine's certificates: %s",
			    net_gnutls.strerror(ret));
}

static int trust_folder(struct net_tls_keys *k, const char *dir)
{
	struct path ca = path_in(dir, "ca-cert.pem"), crl = path_in(dir, "ca-crl.pem");
	int ret;

	if (!exists(ca.s) && !k->verify)
		return 0;
	if (!exists(ca.s))
		return bk_err(ENOENT, "property \"tls-certificates\": there is no %s", ca.s);
	ret =
	    net_gnutls.certificate_set_x509_trust_file(k->certificates, ca.s, GNUTLS_X509_FMT_PEM);
	if (!ret)
		return bk_err(EINVAL, "%s contains no certificate", ca.s);
	ret = check_file(ret, ca.s);
	if (!ret && exists(crl.s))
		ret = check_file(net_gnutls.certificate_set_x509_crl_file(k->certificates, crl.s,
									  GNUTLS_X509_FMT_PEM),
				 crl.s);
	return ret;
}

static int load_own(struct net_tls_keys *k, const char *dir)
{
	struct path cert = path_in(dir, "client-cert.pem"), key = path_in(dir, "client-key.pem");

	if (!exists(cert.s) && !exists(key.s))
		return 0;
	return check_file(net_gnutls.certificate_set_x509_key_file(k->certificates, cert.s, key.s,
								   GNUTLS_X509_FMT_PEM),
			  exists(cert.s) ? key.s : cert.s);
}

static int load_certificates(struct net_tls_keys *k, const char *dir)
{
	int ret;

	if (net_gnutls.certificate_allocate_credentials(&k->certificates) < 0)
		return bk_err(ENOMEM, "out of memory");
	if (!dir)
		return k->verify ? trust_machine(k) : 0;
	if (strlen(dir) > sizeof(struct path) - sizeof("/client-cert.pem"))
		return bk_err(ENAMETOOLONG, "property \"tls-certificates\" is too long");
	if (!exists(dir))
		return bk_err(errno, "property \"tls-certificates\" (\"%s\"): %m", dir);
	ret = trust_folder(k, dir);
	return ret < 0 ? ret : load_own(k, dir);
}

/* ---- Pre-shared keys ---------------------------------------------------------------------- */

/* The key of the line if it is that of name, else NULL. */
static char *key_in(char *line, const char *name)
{
	size_t len = strlen(name);

	line[strcspn(line, "\r\n")] = 0;
	return !strncmp(line, name, len) && line[len] == ':' ? line + len + 1 : NULL;
}

static int use_key(struct net_tls_keys *k, const struct net_tls_config *c, char *hex)
{
	const gnutls_datum_t key = { (unsigned char *)hex, strlen(hex) };
	int ret =
	    net_gnutls.psk_set_client_credentials(k->psk, c->username, &key, GNUTLS_PSK_KEY_HEX);

	return ret >= 0 ? 0
			: bk_err(EINVAL, "%s: the key of \"%s\" is not valid: %s", c->psk_file,
				 c->username, net_gnutls.strerror(ret));
}

static int find_key(struct net_tls_keys *k, const struct net_tls_config *c, FILE *f)
{
	char line[PSK_LINE_MAX], *key;
	int ret = 1;

	while (ret > 0 && fgets(line, sizeof(line), f)) {
		key = key_in(line, c->username);
		if (key)
			ret = use_key(k, c, key);
	}
	explicit_bzero(line, sizeof(line));
	return ret <= 0 ? ret
			: bk_err(ENOENT, "%s has no key of \"%s\" (property \"tls-username\")",
				 c->psk_file, c->username);
}

static int load_psk(struct net_tls_keys *k, const struct net_tls_config *c)
{
	FILE *f;
	int ret;

	if (!c->username || !*c->username)
		return bk_err(EINVAL, "property \"tls-psk-file\" requires property "
				      "\"tls-username\"");
	if (net_gnutls.psk_allocate_client_credentials(&k->psk) < 0)
		return bk_err(ENOMEM, "out of memory");
	f = fopen(c->psk_file, "re");
	if (!f)
		return bk_err(errno, "property \"tls-psk-file\" (\"%s\"): %m", c->psk_file);
	ret = find_key(k, c, f);
	fclose(f);
	return ret;
}

/* ---- Both --------------------------------------------------------------------------------- */

void net_tls_unload(struct net_tls_keys *keys)
{
	if (!keys)
		return;
	if (keys->certificates)
		net_gnutls.certificate_free_credentials(keys->certificates);
	if (keys->psk)
		net_gnutls.psk_free_client_credentials(keys->psk);
	free(keys->hostname);
	free(keys);
}

int net_tls_load(const struct net_tls_config *c, struct net_tls_keys **keys)
{
	struct net_tls_keys *k;
	int ret = net_gnutls_load();

	if (ret < 0)
		return ret;
	k = calloc(1, sizeof(*k));
	if (k && c->hostname && *c->hostname)
		k->hostname = strdup(c->hostname);
	if (!k || (c->hostname && *c->hostname && !k->hostname)) {
		net_tls_unload(k);
		return bk_err(ENOMEM, "out of memory");
	}
	k->verify = c->verify;
	k->kernel = c->kernel;
	k->can_reconnect = c->can_reconnect;
	ret = c->psk_file ? load_psk(k, c) : load_certificates(k, c->certificates);
	if (ret < 0)
		net_tls_unload(k);
	else
		*keys = k;
	return ret;
}
