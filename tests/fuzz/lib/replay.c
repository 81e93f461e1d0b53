/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fuzzer without libFuzzer, for any compiler: runs every file of the folders (or the files)
 * given. Prints TAP. Each has a deadline, so a hang is a failure, and the last name is the culprit.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "world.h"

enum { LEN_MAX = 1 << 20, SECONDS = 60 };

static unsigned count;

static void run_file(const char *path)
{
	static uint8_t room[LEN_MAX];
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t len;

	MUST(f);
	len = fread(room, 1, sizeof(room), f);
	fclose(f);
	/* Of its own length, so that sanitizers see where it ends. */
	data = malloc(len ? len : 1);
	MUST(data);
	memcpy(data, room, len);
	printf("# %s\n", path);
	fflush(stdout);
	alarm(SECONDS);
	fuzz_begin();
	fuzz_one(data, len);
	fuzz_end();
	alarm(0);
	free(data);
	count++;
	printf("ok %u - %s\n", count, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void run_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, is_visible, alphasort);

	MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		run_file(file);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) < 0)
			continue; /* a fuzzer that has not found anything yet */
		if (S_ISDIR(st.st_mode))
			run_folder(argv[i]);
		else
			run_file(argv[i]);
	}
	printf("1..%u\n", count);
	return 0;
}
