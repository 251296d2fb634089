/*
 * shrink-pipe PATH: makes the pipe that is open at PATH (such as /proc/PID/fd/2) hold one page, as little as Linux allows,
 * so that it is full soon. Not possible while more than that is in it: then the status is 1.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>

int main(int argc, char **argv)
{
	int pipe;

	if (argc != 2)
		errx(2, "usage: shrink-pipe PATH");
	pipe = open(argv[1], O_RDWR | O_NONBLOCK);
	if (pipe < 0 || fcntl(pipe, F_SETPIPE_SZ, 4096) < 0)
		err(1, "%s", argv[1]);
	return 0;
}
