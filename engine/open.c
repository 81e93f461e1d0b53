/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From a job's options to an open device: which properties are set, when, and who wins. The order
 * is: what fio's own options imply, then the user's lists of properties.
 */
#include <sys/stat.h>

#include "engine.h"

/* Cut the next item off a list: a colon ends an item, "\:" is a colon in it. NULL at the end. */
static char *next_item(char **list)
{
	char *item = *list, *from, *to;

	if (!item)
		return NULL;
	for (from = to = item; *from && *from != ':'; from++) {
		if (from[0] == '\\' && from[1] == ':')
			from++;
		*to++ = *from;
	}
	*list = *from ? from + 1 : NULL;
	*to = '\0';
	return item;
}

/* Without blanks at either end. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t");
	for (len = strlen(s); len && strchr(" \t", s[len - 1]); len--)
		s[len - 1] = '\0';
	return s;
}

/* Split an item into name and value; false when it has no "=" or no name. */
static bool split_item(char *item, char **name, char **value)
{
	char *equals = strchr(item, '=');

	if (!equals)
		return false;
	*equals = '\0';
	*name = trim(item);
	*value = trim(equals + 1);
	return **name;
}

static int set_listed_props(struct blkio *b, const char *option, const char *props,
			    struct thread_data *td)
{
	char *copy, *rest, *item, *name, *value;
	int ret = 0;

	if (!props)
		return 0;
	rest = copy = strdup(props);
	if (!copy)
		return bkf_fail(td, -ENOMEM, "no memory for %s", option);
	while (!ret && (item = next_item(&rest))) {
		item = trim(item);
		if (!*item)
			continue;
		if (!split_item(item, &name, &value))
			ret = bkf_fail(td, -EINVAL,
				       "%s: expected name=value, got '%s' (write a colon in a "
				       "value as \\:)",
				       option, item);
		else if ((ret = blkio_set_str(b, name, value)))
			bkf_fail(
			    td, ret, "%s: %s=%s: %s%s", option, name, value, blkio_get_error_msg(),
			    ret == -ENOENT ? "; blkio-info --properties DRIVER lists them" : "");
	}
	free(copy);
	return ret;
}

static bool lists_prop(const char *props, const char *wanted)
{
	char *copy = strdup(props ? props : ""), *rest = copy, *item, *name, *value;
	bool found = false;

	while (copy && !found && (item = next_item(&rest)))
		found = split_item(item, &name, &value) && !strcmp(name, wanted);
	free(copy);
	return found;
}

static char *dup_or_null(const char *s)
{
	return s ? strdup(s) : NULL;
}

static bool driver_has_prop(const char *driver, const char *name)
{
	struct blkio *b;
	char *value;
	int ret;

	if (blkio_create(driver, &b))
		return false;
	ret = blkio_get_str(b, name, &value);
	free(value);
	blkio_destroy(&b);
	return ret != -ENOENT;
}

/* What fio can create, extend and open by itself. */
static bool is_file(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == ENOENT;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
}

/* For files and block devices. Says so, once, if it is not the usual one. */
static const char *file_driver(void)
{
	static bool said;
	const char *name = blkio_get_file_driver();

	if (strcmp(name, "io_uring") && !said)
		log_info("fio: libblkio: io_uring is not permitted here: using driver %s\n", name);
	said = true;
	return name;
}

#define SCHEME "abcdefghijklmnopqrstuvwxyz+"

/* Such as nbd://host/export, rather than a path. */
static bool is_uri(const char *path)
{
	size_t scheme = strspn(path, SCHEME);

	return scheme && !strncmp(path + scheme, "://", 3);
}

/* In filename=, fio takes each colon that is not escaped for the end of a name. */
static int check_uris(struct thread_data *td)
{
	const char *text = td->o.filename ? td->o.filename : "";
	size_t scheme = strspn(text, SCHEME);
	struct fio_file *f;
	unsigned int i;

	text += scheme + (text[scheme] == '\\');
	if (!scheme || strncmp(text, "://", 3))
		return 0;
	for_each_file(td, f, i)
	{
		if (!is_uri(f->file_name))
			return bkf_fail(td, -EINVAL,
					"filename=%s: write each colon of a URI as \\:, or use "
					"libblkio_path=",
					td->o.filename);
	}
	return 0;
}

/* A scheme has + where a name has a hyphen. */
static bool begins_with_name(const char *uri, const char *name)
{
	for (; *name; name++, uri++)
		if (*uri != (*name == '-' ? '+' : *name))
			return false;
	return true;
}

/* The driver that takes URIs, and whose name begins the scheme: nbd for nbd+unix. */
static const char *uri_driver(const char *uri)
{
	const char *name;

	for (int i = 0; (name = blkio_get_driver_name(i)); i++)
		if (begins_with_name(uri, name) && driver_has_prop(name, "uri"))
			return name;
	return NULL;
}

/* What a path most likely is, for jobs that do not say. NULL: a URI of no driver. */
static const char *default_driver(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	struct stat st;

	if (is_uri(path))
		return uri_driver(path);
	if (stat(path, &st))
		return file_driver();
	if (S_ISSOCK(st.st_mode))
		return "virtio-blk-vhost-user";
	if (S_ISCHR(st.st_mode) && !strncmp(name, "ng", 2))
		return "nvme-io_uring";
	if (S_ISCHR(st.st_mode) && !strncmp(name, "vhost-vdpa", 10))
		return "virtio-blk-vhost-vdpa";
	return file_driver();
}

/* Whether the engine's own options say what to open, rather than the names of fio's files. */
static bool names_target(const struct engine_options *eo)
{
	static const char *const props[] = { "path", "fd", "uri", "host" };

	for (size_t i = 0; i < ARRAY_LENGTH(props); i++)
		if (lists_prop(eo->pre_connect_props, props[i]))
			return true;
	return eo->path != NULL;
}

/* The file that the job is to open; NULL when the properties say what. */
static const char *choose_path(const struct engine_options *eo, const struct fio_file *f)
{
	if (names_target(eo))
		return eo->path;
	return f ? f->file_name : NULL;
}

/* NULL: none, and the job fails. */
static const char *choose_driver(struct thread_data *td, const char *path, bool names_later)
{
	const struct engine_options *eo = td->eo;
	const char *driver = eo->driver;

	if (driver)
		return driver;
	if (path)
		driver = default_driver(path);
	else if (names_later)
		driver = file_driver();
	if (!driver && path)
		bkf_fail(td, -EINVAL,
			 "%s: no driver takes URIs of this kind; for a file of this name, set "
			 "libblkio_driver=io_uring",
			 path);
	else if (!driver)
		bkf_fail(td, -EINVAL, "set libblkio_driver=, which has no default without a file");
	return driver;
}

static int copy_strings(struct target_options *o, struct thread_data *td)
{
	const struct engine_options *eo = td->eo;

	o->driver = strdup(o->driver);
	o->path = dup_or_null(o->path);
	o->pre_connect_props = dup_or_null(eo->pre_connect_props);
	o->pre_start_props = dup_or_null(eo->pre_start_props);
	if (!o->driver || (eo->pre_connect_props && !o->pre_connect_props) ||
	    (eo->pre_start_props && !o->pre_start_props))
		return bkf_fail(td, -ENOMEM, "no memory for the job's options");
	return 0;
}

int bkf_target_options_init(struct target_options *o, struct thread_data *td,
			    const struct fio_file *f)
{
	const struct engine_options *eo = td->eo;
	const char *path = choose_path(eo, f);
	const char *driver;
	bool opens_files, names_later; /* fio learns the names of files from a log or directory */

	*o = (struct target_options){ 0 };
	if (!names_target(eo) && check_uris(td))
		return -EINVAL;
	names_later = (td->o.read_iolog_file || td->o.opendir) && !names_target(eo);
	driver = choose_driver(td, path, names_later);
	if (!driver)
		return -EINVAL;
	o->driver_is_default = !eo->driver;
	opens_files = driver_has_prop(driver, "direct");
	o->path_is_filename = path && !eo->path;
	/* A name that fio made from the job's does not name a device. */
	if (o->path_is_filename && !td->o.filename && !opens_files)
		path = NULL;
	o->driver = (char *)driver;
	o->path = (char *)path;
	o->num_entries = eo->num_entries;
	o->queue_size = eo->queue_size;
	o->depth = td->o.iodepth;
	o->direct = td->o.odirect && opens_files;
	o->by_fio = opens_files && (names_later || (o->path_is_filename && is_file(path)));
	o->read_only = read_only || !(td_write(td) || td_trim(td));
	o->sleeps_on_fd = eo->wait_mode == WAIT_EVENTFD;
	o->sq_poll = eo->sq_poll;
	return copy_strings(o, td);
}

void bkf_target_options_free(struct target_options *o)
{
	free(o->driver);
	free(o->path);
	free(o->pre_connect_props);
	free(o->pre_start_props);
}

bool bkf_get_bool(struct blkio *b, const char *name, bool fallback)
{
	bool value;

	return blkio_get_bool(b, name, &value) ? fallback : value;
}

uint64_t bkf_get_number(struct blkio *b, const char *name, uint64_t fallback)
{
	char *value;
	uint64_t number;

	if (blkio_get_str(b, name, &value))
		return fallback;
	number = strtoull(value, NULL, 10);
	free(value);
	return number;
}

/* Of properties that only some drivers have. */
static int set_bool_if_present(struct blkio *b, const char *name, bool value)
{
	int ret = blkio_set_bool(b, name, value);

	return ret == -ENOENT ? 0 : ret;
}

static int set_path(struct blkio *b, const struct target_options *o)
{
	int ret;

	if (!o->path)
		return 0;
	ret = is_uri(o->path) ? blkio_set_str(b, "uri", o->path) : -ENOENT;
	if (ret != -ENOENT)
		return ret;
	ret = blkio_set_str(b, "path", o->path);
	/* fio wants a filename for every job, also when it is no more than a name */
	return ret == -ENOENT && o->path_is_filename ? 0 : ret;
}

static int prepare_connect(struct blkio *b, const struct target_options *o, struct thread_data *td)
{
	int ret;

	if ((ret = set_bool_if_present(b, "direct", o->direct)))
		return bkf_fail_call(td, ret, "setting direct");
	if ((ret = blkio_set_bool(b, "read-only", o->read_only)))
		return bkf_fail_call(td, ret, "setting read-only");
	if ((ret = set_path(b, o)))
		return bkf_fail_call(td, ret, "setting path");
	ret = set_listed_props(b, "libblkio_pre_connect_props", o->pre_connect_props, td);
	return ret ? ret : bkf_check_not_mounted(td, b);
}

static int round_up_to_power_of_2(int n)
{
	int power = 1;

	while (power < n && power < INT_MAX / 2)
		power *= 2;
	return power;
}

/* Raise a size that the user left alone. libblkio queues what does not fit, so failure is fine. */
static void raise_to(struct blkio *b, const char *name, int wanted)
{
	int value;

	if (!blkio_get_int(b, name, &value) && value < wanted)
		blkio_set_int(b, name, wanted);
}

static int set_size(struct blkio *b, const char *name, int value, const char *option,
		    struct thread_data *td)
{
	int ret = blkio_set_int(b, name, value);

	return ret ? bkf_fail(td, ret, "%s=%d: %s", option, value, blkio_get_error_msg()) : 0;
}

static int set_sizes(struct blkio *b, const struct target_options *o, struct thread_data *td)
{
	if (!o->num_entries)
		raise_to(b, "num-entries", o->depth);
	else if (set_size(b, "num-entries", o->num_entries, "libblkio_num_entries", td))
		return -1;
	if (!o->queue_size)
		raise_to(b, "queue-size",
			 min((uint64_t)round_up_to_power_of_2(o->depth),
			     bkf_get_number(b, "max-queue-size", INT_MAX)));
	else if (set_size(b, "queue-size", o->queue_size, "libblkio_queue_size", td))
		return -1;
	return 0;
}

/*
 * All I/O goes to one buffer, and each queue is used by one thread only: say so. The latter makes
 * the kernel signal the completion fd twice per request, once with nothing to collect yet, so who
 * sleeps on the fd does without: 2 to 3 system calls per I/O instead of 4.
 */
static int set_promises(struct blkio *b, const struct target_options *o, struct thread_data *td)
{
	int ret;

	if ((ret = set_bool_if_present(b, "register-buffers", true)))
		return bkf_fail_call(td, ret, "register-buffers");
	if ((ret = set_bool_if_present(b, "single-issuer", !o->sleeps_on_fd)))
		return bkf_fail_call(td, ret, "single-issuer");
	if (o->sq_poll && (ret = blkio_set_bool(b, "sq-poll", true)))
		return bkf_fail_call(td, ret, "sqthread_poll");
	return 0;
}

static struct blkio *create(const struct target_options *o, struct thread_data *td)
{
	char drivers[512] = "";
	struct blkio *b;
	const char *name;
	int ret = blkio_create(o->driver, &b);

	if (!ret)
		return b;
	for (int i = 0; (name = blkio_get_driver_name(i)); i++) {
		size_t len = strlen(drivers);

		snprintf(drivers + len, sizeof(drivers) - len, "%s%s", i ? ", " : "", name);
	}
	bkf_fail(td, ret, "libblkio_driver=%s: %s. The drivers are: %s", o->driver,
		 blkio_get_error_msg(), drivers);
	return NULL;
}

static int connect_target(struct blkio *b, const struct target_options *o, struct thread_data *td)
{
	int ret = blkio_connect(b);

	if (ret && !o->path && !names_target(td->eo))
		return bkf_fail(td, ret,
				"blkio_connect: %s (no libblkio_path= and no filename= given)",
				blkio_get_error_msg());
	if (ret && o->driver_is_default && !o->by_fio)
		return bkf_fail(td, ret,
				"blkio_connect: %s (driver %s, by default: libblkio_driver= sets "
				"another)",
				blkio_get_error_msg(), o->driver);
	return ret ? bkf_fail_call(td, ret, "blkio_connect") : 0;
}

struct blkio *bkf_target_connect(const struct target_options *o, struct thread_data *td)
{
	struct blkio *b = create(o, td);

	if (!b)
		return NULL;
	if (prepare_connect(b, o, td) || connect_target(b, o, td) || set_sizes(b, o, td) ||
	    set_promises(b, o, td) ||
	    set_listed_props(b, "libblkio_pre_start_props", o->pre_start_props, td))
		blkio_destroy(&b); /* which makes it NULL */
	return b;
}

int bkf_target_start(struct blkio *b, int queues, int poll_queues, struct thread_data *td)
{
	int ret;

	if ((ret = blkio_set_int(b, "num-queues", queues)))
		return bkf_fail_call(td, ret, "setting num-queues");
	if ((ret = blkio_set_int(b, "num-poll-queues", poll_queues)))
		return bkf_fail_call(td, ret, "setting num-poll-queues (hipri)");
	if ((ret = blkio_start(b)))
		return bkf_fail_call(td, ret, "blkio_start");
	return 0;
}
