/*
 * libxenlog: asks the log daemon for a log of a domain or of the host, and
 * gives the write end of its pipe. For toolstacks and whoever starts programs
 * whose output is to be kept within bounds. The protocol is docs/protocol.md.
 *
 * Two ways to ask:
 *
 *   xenlog_open()   blocks until there is a log or an error, no longer than
 *                   the request's wait_ms (and up to one second more for
 *                   cleaning up, if the store hangs).
 *   xenlog_start()  never blocks: an event loop waits for a descriptor and a
 *                   timeout and calls xenlog_opening_process().
 *
 * Errors are negative errno values. Besides -EINVAL (an argument) and the
 * system's own when a FIFO cannot be made or opened:
 *
 *   -ESRCH      no daemon runs: said at once, nothing is waited for
 *   -EACCES     the daemon refused; the text has its code and its reason
 *   -ETIMEDOUT  the daemon, or the store, did not answer in time
 *   -ENOTCONN   the store cannot be reached, or the connection was lost
 *   -EEXIST     the owner has a log of this id already
 *   -ENOENT     the request was removed while it waited: the domain is gone
 *   -EBUSY      others kept changing the store
 *   -EIO        other trouble with the store
 *
 * After an error nothing of the request is left behind. Functions that can
 * fail take a buffer for a text for a person, in one line; it may be NULL.
 * The text is cut at the buffer's size and always ends with a NUL.
 *
 * A handle must not be used by two threads at the same time; different
 * handles may. The library starts no threads, installs no signal handlers,
 * changes no signal's disposition, is never the cause of a SIGPIPE, and all its
 * descriptors are close-on-exec. Do not use a handle in a forked child: exec
 * or _exit there.
 */
#ifndef XENLOG_H
#define XENLOG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI that this header describes: the number in libxenlog.so.1. */
#define XENLOG_ABI_VERSION 1

/* The ABI of the library that was loaded. */
unsigned int xenlog_abi_version(void);

/* domid of a log of the host */
#define XENLOG_HOST (-1)

/* Bits of xenlog_request.flags */

/* The write end blocks when the pipe is full. Without it a write fails with
 * EAGAIN then: QEMU bears that, and no guest ever waits for its log; many
 * programs do not bear it. */
#define XENLOG_BLOCKING 1u
/* A log that has this id gives way. For a caller that is the only one to use
 * the id, and whose predecessor may have died without ending its log. */
#define XENLOG_REPLACE 2u

/* What is asked for. Start from XENLOG_REQUEST_INIT, so that what you do not
 * set has its default. Strings are copied. */
struct xenlog_request {
    size_t size;           /* sizeof(struct xenlog_request) */
    int32_t domid;         /* 0 to 32751, or XENLOG_HOST */
    uint32_t flags;        /* XENLOG_BLOCKING | XENLOG_REPLACE */
    const char *file;      /* the log file: absolute, or relative to the log
                            * directory; required */
    const char *id;        /* 1 to 64 of A-Z a-z 0-9 _ -; NULL: one of its
                            * own */
    uint64_t limit;        /* most bytes of the file; 0: the daemon's default */
    int32_t copies;        /* rotated copies; -1: the daemon's default */
    int32_t wait_ms;       /* how long to wait; -1: five seconds */
    const char *policy;    /* "block" or "drop"; NULL: the daemon's default */
    const char *timestamp; /* "none" or "line"; NULL: the daemon's default */
    const char *store;     /* socket or device of the store; NULL:
                            * XENSTORED_PATH, else as libxenstore */
    const char *run_dir;   /* where FIFOs are made; NULL: XEN_RUN_DIR, else
                            * /run/xen */
    const char *log_dir;   /* NULL: XEN_LOG_DIR, else /var/log/xen */
};

#define XENLOG_REQUEST_INIT                                                  \
    {                                                                        \
        sizeof(struct xenlog_request), XENLOG_HOST, 0, NULL, NULL, 0, -1,    \
            -1, NULL, NULL, NULL, NULL, NULL                                 \
    }

/* A log that is open for writing. */
struct xenlog;

/*
 * Asks for a log, and waits for it. 0 and the log in *log, or an error and
 * NULL there.
 */
int xenlog_open(const struct xenlog_request *request, struct xenlog **log,
                char *error, size_t error_size);

/*
 * The write end: for dup2() onto a child's standard output and error. It is
 * opened for reading too, so that a daemon that goes away is never EPIPE or
 * SIGPIPE. It stays the log's: do not close it. -EINVAL for NULL.
 */
int xenlog_fd(const struct xenlog *log);

/* The log's id, its file and its FIFO, valid as long as the log is. */
const char *xenlog_id(const struct xenlog *log);
const char *xenlog_file(const struct xenlog *log);
const char *xenlog_pipe(const struct xenlog *log);

/*
 * Ends the log and frees it: closes the write end, removes the entry from the
 * store and the FIFO. The daemon still takes what was written, and, for its
 * drain time, what other holders of the write end write. Blocks for up to one
 * second if the store hangs; then, or on other trouble with the store, the
 * entry is left, which is an error, and the log is freed all the same.
 * 0 for NULL.
 */
int xenlog_end(struct xenlog *log, char *error, size_t error_size);

/*
 * Frees the log without ending it, and gives the write end, which is the
 * caller's to close now. For a domain's log in a toolstack that removes
 * /libxl/DOMID with the domain anyway: the daemon removes the FIFO then.
 * -EINVAL for NULL.
 */
int xenlog_detach(struct xenlog *log);

/* A log that is being asked for. */
struct xenlog_opening;

/*
 * Begins to ask, without blocking. 0 and the handle in *opening, or an error
 * and NULL there. Call xenlog_opening_process() next.
 */
int xenlog_start(const struct xenlog_request *request,
                 struct xenlog_opening **opening, char *error,
                 size_t error_size);

/*
 * What to wait for: a descriptor (-1 if there is none just now), the events
 * of poll(2) on it, and a timeout for poll(2) in milliseconds, which is never
 * infinite. All three may be others after each xenlog_opening_process(); the
 * library may have closed the descriptor in it, so deregister it before.
 */
int xenlog_opening_fd(const struct xenlog_opening *opening);
short xenlog_opening_events(const struct xenlog_opening *opening);
int xenlog_opening_timeout(const struct xenlog_opening *opening);

/*
 * Does all that goes without blocking: call it when one of the events or the
 * timeout came. 1 and the log in *log at the end, 0 and NULL there if it goes
 * on, or an error and NULL there. In the end, whether well or not, free the
 * handle with xenlog_opening_cancel(). Cleaning up after an error blocks for
 * up to one second if the store hangs.
 */
int xenlog_opening_process(struct xenlog_opening *opening,
                           struct xenlog **log, char *error,
                           size_t error_size);

/*
 * Frees the handle. If it had not ended, it is given up and everything is
 * cleaned up, which blocks for up to one second if the store hangs. NULL is
 * nothing to do.
 */
void xenlog_opening_cancel(struct xenlog_opening *opening);

#ifdef __cplusplus
}
#endif

#endif
