/*
 * Logs a line by the C interface, as a toolstack would. The environment says
 * where store and directories are.
 *
 *   client open FILE TEXT     blocking
 *   client loop FILE TEXT     in an event loop
 *   client cancel FILE        begins to ask, and gives up once it is asked
 *   client refused            what the daemon does not grant
 *   client misuse             arguments that are wrong
 *
 * Prints what it finds, one fact a line; its exit code is 0, or 1 with the
 * library's error printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xenlog.h>

static int failed(const char *what, int code, const char *error)
{
    printf("%s: %d: %s\n", what, code, error);
    return 1;
}

static int write_and_end(struct xenlog *log, const char *text)
{
    char error[256];
    int code, fd = xenlog_fd(log);
    ssize_t written = write(fd, text, strlen(text));

    printf("file %s\n", xenlog_file(log));
    printf("id %s\n", xenlog_id(log));
    printf("pipe %s\n", access(xenlog_pipe(log), F_OK) == 0 ? "is there" : "is not there");
    printf("nonblocking %d\n", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    printf("close-on-exec %d\n", (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    if (written != (ssize_t)strlen(text))
        return failed("write", -errno, strerror(errno));
    code = xenlog_end(log, error, sizeof error);
    return code < 0 ? failed("xenlog_end", code, error) : 0;
}

static int open_blocking(struct xenlog_request *request, const char *text)
{
    struct xenlog *log;
    char error[256];
    int code;

    request->flags = XENLOG_BLOCKING;
    code = xenlog_open(request, &log, error, sizeof error);
    if (code < 0)
        return failed("xenlog_open", code, error);
    return write_and_end(log, text);
}

static int open_in_loop(struct xenlog_request *request, const char *text)
{
    struct xenlog_opening *opening;
    struct xenlog *log;
    char error[256];
    int code;

    code = xenlog_start(request, &opening, error, sizeof error);
    if (code < 0)
        return failed("xenlog_start", code, error);
    while ((code = xenlog_opening_process(opening, &log, error, sizeof error)) == 0) {
        struct pollfd wait;

        wait.fd = xenlog_opening_fd(opening);
        wait.events = xenlog_opening_events(opening);
        poll(&wait, 1, xenlog_opening_timeout(opening));
    }
    xenlog_opening_cancel(opening);
    if (code < 0)
        return failed("xenlog_opening_process", code, error);
    return write_and_end(log, text);
}

static int begin_and_cancel(struct xenlog_request *request)
{
    struct xenlog_opening *opening;
    struct xenlog *log;
    char line[8];
    int code = xenlog_start(request, &opening, NULL, 0);

    if (code < 0)
        return failed("xenlog_start", code, "");
    /* Until somebody closes our standard input: then the request is in the store. */
    for (;;) {
        struct pollfd wait[2];

        code = xenlog_opening_process(opening, &log, NULL, 0);
        if (code != 0)
            return failed("xenlog_opening_process", code, "");
        wait[0].fd = xenlog_opening_fd(opening);
        wait[0].events = xenlog_opening_events(opening);
        wait[1].fd = STDIN_FILENO;
        wait[1].events = POLLIN;
        poll(wait, 2, xenlog_opening_timeout(opening));
        if (wait[1].revents != 0 && read(STDIN_FILENO, line, sizeof line) == 0)
            break;
    }
    xenlog_opening_cancel(opening);
    return 0;
}

static int be_refused(struct xenlog_request *request)
{
    struct xenlog *log;
    char error[256], little[9];
    int code;

    request->file = "/etc/passwd";
    code = xenlog_open(request, &log, error, sizeof error);
    printf("%d %s %s\n", code, log == NULL ? "NULL" : "a log", error);
    code = xenlog_open(request, &log, little, sizeof little);
    printf("%d %s\n", code, little);
    code = xenlog_open(request, &log, NULL, 0);
    printf("%d\n", code);
    return 0;
}

static int misuse(struct xenlog_request *request)
{
    struct xenlog *log;
    char error[256];

    printf("%d\n", xenlog_open(NULL, &log, error, sizeof error));
    printf("%d\n", xenlog_open(request, NULL, error, sizeof error));
    printf("%d %s\n", xenlog_open(request, &log, error, sizeof error), error);
    printf("%d\n", xenlog_start(request, NULL, error, sizeof error));
    printf("%d\n", xenlog_opening_process(NULL, &log, error, sizeof error));
    printf("%d %d %d\n", xenlog_opening_fd(NULL), xenlog_opening_events(NULL) == POLLIN, xenlog_opening_timeout(NULL));
    printf("%d %d %d\n", xenlog_fd(NULL), xenlog_end(NULL, NULL, 0), xenlog_detach(NULL));
    printf("%d\n", xenlog_id(NULL) == NULL && xenlog_file(NULL) == NULL && xenlog_pipe(NULL) == NULL);
    xenlog_opening_cancel(NULL);
    return 0;
}

int main(int argc, char **argv)
{
    struct xenlog_request request = XENLOG_REQUEST_INIT;
    const char *what = argc > 1 ? argv[1] : "";

    if (xenlog_abi_version() != XENLOG_ABI_VERSION)
        return failed("xenlog_abi_version", (int)xenlog_abi_version(), "not that of the header");
    request.domid = 5;
    request.limit = 65536;
    request.copies = 1;
    request.file = argc > 2 ? argv[2] : NULL;
    if (argc > 3 && strcmp(what, "open") == 0)
        return open_blocking(&request, argv[3]);
    if (argc > 3 && strcmp(what, "loop") == 0)
        return open_in_loop(&request, argv[3]);
    if (argc > 2 && strcmp(what, "cancel") == 0)
        return begin_and_cancel(&request);
    if (strcmp(what, "refused") == 0)
        return be_refused(&request);
    if (strcmp(what, "misuse") == 0)
        return misuse(&request);
    return 2;
}
