/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See library.h. */
#include "common/library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

/* dlopen() does not report why: is it for want of descriptors? */
static int error_of_open(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return errno;
	if (fd >= 0)
		close(fd);
	return ENOTSUP;
}

static int load(const struct library *l)
{
	void *handle = dlopen(l->name, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return bk_err(error_of_open(), "%s needs %s (%s); on Debian, install package %s",
			      l->user, l->name, dlerror(), l->package);
	for (const struct library_function *f = l->functions; f->name; f++) {
		*f->to = dlsym(handle, f->name);
		if (!*f->to)
			return bk_err(ENOTSUP, "%s needs another version of %s: %s", l->user,
				      l->name, dlerror());
	}
	return 0;
}

int library_load(struct library *l)
{
	int ret = 0;

	pthread_mutex_lock(&l->lock);
	if (!l->is_loaded) {
		ret = load(l);
		l->is_loaded = !ret;
	}
	pthread_mutex_unlock(&l->lock);
	return ret;
}
