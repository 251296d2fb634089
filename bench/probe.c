/* How little a logger of many pipes can do: the base that ratios of the benchmark are made to. One process, epoll, 64 KiB read and
 * write, rotation. No fairness, no care for a full disk, for lines or for restarts.
 *
 *     probe LIMIT COPIES < LIST
 *
 * LIST has two lines for each log: the FIFO, which exists, and the file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

struct log {
    int pipe, file;
    char *path;
    long size;
};

static long limit, copies;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void open_file(struct log *log)
{
    log->file = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (log->file < 0)
        die(log->path);
    log->size = 0;
}

static char *copy(const struct log *log, long number)
{
    char *path;
    if ((number ? asprintf(&path, "%s.%ld", log->path, number) : asprintf(&path, "%s", log->path)) < 0)
        die("asprintf");
    return path;
}

static void rotate(struct log *log)
{
    close(log->file);
    /* ext4 writes a file out at once that is renamed over another one. */
    char *to = copy(log, copies);
    unlink(to);
    for (long number = copies; number-- > 0;) {
        char *from = copy(log, number);
        if (rename(from, to) && errno != ENOENT)
            die(from);
        free(to);
        to = from;
    }
    free(to);
    open_file(log);
}

static void store(struct log *log, const char *from, long bytes)
{
    while (bytes > 0) {
        if (log->size == limit)
            rotate(log);
        long room = limit - log->size;
        long done = write(log->file, from, bytes < room ? bytes : room);
        if (done < 0)
            die(log->path);
        log->size += done;
        from += done;
        bytes -= done;
    }
}

static char *line(void)
{
    char *text = NULL;
    size_t size = 0;
    ssize_t length = getline(&text, &size, stdin);
    if (length < 0)
        return NULL;
    text[length - 1] = 0;
    return text;
}

int main(int count, char **words)
{
    static char buffer[64 << 10];
    static struct epoll_event events[256];
    if (count != 3)
        return 2;
    limit = atol(words[1]);
    copies = atol(words[2]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (char *pipe; (pipe = line());) {
        struct log *log = malloc(sizeof *log);
        log->path = line();
        open_file(log);
        log->pipe = open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (log->pipe < 0)
            die(pipe);
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = log};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, log->pipe, &wanted))
            die("epoll_ctl");
        free(pipe);
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            struct log *log = events[i].data.ptr;
            ssize_t bytes = read(log->pipe, buffer, sizeof buffer);
            if (bytes > 0)
                store(log, buffer, bytes);
            else if (bytes == 0)
                epoll_ctl(epoll, EPOLL_CTL_DEL, log->pipe, NULL);
        }
    }
}
