/*
 * disk-use DIR PREFIX: watches the files of DIR whose names begin with PREFIX until SIGTERM, then prints what it saw:
 *
 *	samples N	how often it looked
 *	use BYTES	the most that was in use at any time by these files, and by files that are still open but have no
 *			name any more
 *	files N		the most files of that prefix
 *	size BYTES NAME	the largest size that a file of this name had
 *
 * DIR must be the root of a file system of its own: its use is one statfs(2), which cannot be caught between two halves
 * of a rotation as a sum of sizes could, less what files of other names take. It looks once each ten milliseconds (more
 * of it takes the emulated machine's time from what it watches), at the sizes once each 16 and whenever the use has grown.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NAMES 32

static volatile sig_atomic_t ended;
static struct {
	char name[256];
	long long size;
} most[NAMES];
static long long most_files;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static void keep_size(const char *name, long long size)
{
	for (int i = 0; i < NAMES; i++) {
		if (!most[i].name[0])
			strcpy(most[i].name, name);
		if (!strcmp(most[i].name, name)) {
			if (size > most[i].size)
				most[i].size = size;
			return;
		}
	}
	errx(1, "more than %d names", NAMES);
}

/* The bytes that the file system of DIR has in use. */
static long long use(const char *dir)
{
	struct statfs fs;

	if (statfs(dir, &fs) < 0)
		err(1, "%s", dir);
	return (long long)(fs.f_blocks - fs.f_bfree) * fs.f_bsize;
}

/* Takes note of the files' sizes; returns the bytes that files of other names have in use. */
static long long look(const char *path, const char *prefix)
{
	long long others = 0, files = 0;
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(path);

	if (!dir)
		err(1, "%s", path);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (strncmp(entry->d_name, prefix, strlen(prefix))) {
			others += st.st_blocks * 512LL;
		} else {
			keep_size(entry->d_name, st.st_size);
			files++;
		}
	}
	closedir(dir);
	if (files > most_files)
		most_files = files;
	return others;
}

int main(int argc, char **argv)
{
	long long samples, now, most_now = 0, others = 0, most_use = 0;

	if (argc != 3)
		errx(2, "usage: disk-use DIR PREFIX");
	signal(SIGTERM, end);
	for (samples = 0; !ended; samples++) {
		now = use(argv[1]);
		if (now > most_now || samples % 16 == 0)
			others = look(argv[1], argv[2]);
		if (now > most_now)
			most_now = now;
		if (now - others > most_use)
			most_use = now - others;
		usleep(10000);
	}
	printf("samples %lld\nuse %lld\nfiles %lld\n", samples, most_use, most_files);
	for (int i = 0; i < NAMES && most[i].name[0]; i++)
		printf("size %lld %s\n", most[i].size, most[i].name);
	return 0;
}
