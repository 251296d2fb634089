/*
 * echo-latency TTY SECONDS: types numbered lines at a guest whose console is TTY, each when the last one has been answered
 * with "guest: heard LINE", for SECONDS. Prints how many and how long the answers took, in microseconds:
 *
 *	echoes N median M p99 P most X
 *
 * Its status is 1 if an answer did not come within a minute.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MOST 100000

static unsigned took[MOST];

static long long microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* Reads what the guest prints until it has answered LINE. */
static void await(int tty, const char *line)
{
	static char seen[8192];
	static size_t length;
	char answer[64];

	snprintf(answer, sizeof(answer), "guest: heard %s\n", line);
	for (;;) {
		struct pollfd ready = { tty, POLLIN, 0 };
		char *found = memmem(seen, length, answer, strlen(answer));
		ssize_t more;

		if (found) {
			length = 0;
			return;
		}
		if (length > sizeof(seen) / 2) { /* an answer is no longer than the half that stays */
			memmove(seen, seen + length / 2, length - length / 2);
			length -= length / 2;
		}
		if (poll(&ready, 1, 60000) < 1)
			errx(1, "no answer to %s", line);
		more = read(tty, seen + length, sizeof(seen) - length);
		if (more < 1)
			err(1, "the console is gone");
		length += more;
	}
}

static int by_size(const void *a, const void *b)
{
	unsigned one = *(const unsigned *)a, other = *(const unsigned *)b;

	return one < other ? -1 : one > other;
}

int main(int argc, char **argv)
{
	long long end;
	struct termios raw;
	int tty, count;

	if (argc != 3)
		errx(2, "usage: echo-latency TTY SECONDS");
	tty = open(argv[1], O_RDWR | O_NOCTTY);
	if (tty < 0 || tcgetattr(tty, &raw) < 0)
		err(1, "%s", argv[1]);
	cfmakeraw(&raw);
	tcsetattr(tty, TCSANOW, &raw);
	end = microseconds() + atoi(argv[2]) * 1000000LL;
	for (count = 0; count < MOST && microseconds() < end; count++) {
		long long typed = microseconds();
		char line[32];

		snprintf(line, sizeof(line), "%d.%d", getpid(), count);
		dprintf(tty, "%s\n", line);
		await(tty, line);
		took[count] = microseconds() - typed;
	}
	qsort(took, count, sizeof(*took), by_size);
	printf("echoes %d median %u p99 %u most %u\n", count, took[count / 2], took[count * 99 / 100], took[count - 1]);
	return 0;
}
