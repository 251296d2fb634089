/*
 * terminal SHOWN KEYS COMMAND...: runs COMMAND on a terminal of its own. What it shows is appended to the file SHOWN, what
 * others write into the FIFO KEYS is typed at it. Its status is the command's, 128 and more if a signal ended it.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

static void copy_all(int to, const char *bytes, ssize_t length)
{
	while (length > 0) {
		ssize_t written = write(to, bytes, length);

		if (written < 0)
			err(125, "write");
		bytes += written;
		length -= written;
	}
}

int main(int argc, char **argv)
{
	int shown, keys, terminal, status;
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	pid_t command;

	if (argc < 4)
		errx(125, "usage: terminal SHOWN KEYS COMMAND...");
	shown = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	keys = open(argv[2], O_RDWR | O_CLOEXEC); /* also for writing: so it never comes to an end */
	if (shown < 0 || keys < 0)
		err(125, "%s, %s", argv[1], argv[2]);
	command = forkpty(&terminal, NULL, NULL, &size);
	if (command < 0)
		err(125, "forkpty");
	if (command == 0) {
		execvp(argv[3], argv + 3);
		err(127, "%s", argv[3]);
	}
	for (;;) {
		struct pollfd ready[] = { { terminal, POLLIN, 0 }, { keys, POLLIN, 0 } };
		char bytes[4096];
		ssize_t length;

		if (poll(ready, 2, -1) < 0)
			err(125, "poll");
		if (ready[0].revents) {
			length = read(terminal, bytes, sizeof(bytes));
			if (length <= 0)
				break; /* EIO: nobody has the terminal open any more */
			copy_all(shown, bytes, length);
		}
		if (ready[1].revents) {
			length = read(keys, bytes, sizeof(bytes));
			if (length > 0)
				copy_all(terminal, bytes, length);
		}
	}
	if (waitpid(command, &status, 0) < 0)
		err(125, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
