/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From a job's options to an open device: which properties are set, when, and who wins. The order
 * is: what fio's own options imply, then the user's lists of properties.
 */
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
			ret = bkf_fail(td, -EINVAL, "%s: expected name=value, got '%s'", option,
				       item);
		else if ((ret = blkio_set_str(b, name, value)))
			bkf_fail(td, ret, "%s: %s=%s: %s", option, name, value,
				 blkio_get_error_msg());
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

int bkf_target_options_init(struct target_options *o, struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	const char *path = eo->path;

	*o = (struct target_options){ 0 };
	if (!eo->driver)
		return bkf_fail(td, -EINVAL, "set libblkio_driver=, for example to io_uring");
	if (!path && td->o.filename && td->files_index &&
	    !lists_prop(eo->pre_connect_props, "path") &&
	    !lists_prop(eo->pre_connect_props, "fd")) {
		path = td->files[0]->file_name;
		o->path_is_filename = true;
	}
	o->driver = strdup(eo->driver);
	o->path = dup_or_null(path);
	o->pre_connect_props = dup_or_null(eo->pre_connect_props);
	o->pre_start_props = dup_or_null(eo->pre_start_props);
	if (!o->driver || (path && !o->path) || (eo->pre_connect_props && !o->pre_connect_props) ||
	    (eo->pre_start_props && !o->pre_start_props))
		return bkf_fail(td, -ENOMEM, "no memory for the job's options");
	o->num_entries = eo->num_entries;
	o->queue_size = eo->queue_size;
	o->depth = td->o.iodepth;
	o->direct = td->o.odirect && driver_has_prop(o->driver, "direct");
	o->read_only = read_only || !(td_write(td) || td_trim(td));
	o->sleeps_on_fd = eo->wait_mode == WAIT_EVENTFD;
	return 0;
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
	return set_listed_props(b, "libblkio_pre_connect_props", o->pre_connect_props, td);
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

static int set_sizes(struct blkio *b, const struct target_options *o, struct thread_data *td)
{
	int ret;

	if (!o->num_entries)
		raise_to(b, "num-entries", o->depth);
	else if ((ret = blkio_set_int(b, "num-entries", o->num_entries)))
		return bkf_fail_call(td, ret, "setting num-entries (libblkio_num_entries)");
	if (!o->queue_size)
		raise_to(b, "queue-size",
			 min((uint64_t)round_up_to_power_of_2(o->depth),
			     bkf_get_number(b, "max-queue-size", INT_MAX)));
	else if ((ret = blkio_set_int(b, "queue-size", o->queue_size)))
		return bkf_fail_call(td, ret, "setting queue-size (libblkio_queue_size)");
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
	return 0;
}

struct blkio *bkf_target_connect(const struct target_options *o, struct thread_data *td)
{
	struct blkio *b;
	int ret;

	ret = blkio_create(o->driver, &b);
	if (ret) {
		bkf_fail_call(td, ret, "blkio_create");
		return NULL;
	}
	if (prepare_connect(b, o, td))
		goto destroy;
	if ((ret = blkio_connect(b))) {
		bkf_fail(td, ret, "blkio_connect: %s%s", blkio_get_error_msg(),
			 o->path ? "" : " (no libblkio_path= and no filename= given)");
		goto destroy;
	}
	if (set_sizes(b, o, td) || set_promises(b, o, td) ||
	    set_listed_props(b, "libblkio_pre_start_props", o->pre_start_props, td))
		goto destroy;
	return b;
destroy:
	blkio_destroy(&b);
	return NULL;
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
