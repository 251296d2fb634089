/* Xen's libraries, as far as they are used, without Xen: event channels are a pipe, where what is notified is pending; the
 * memory of all domains is 16 pages; the hypervisor has written 26 letters. With READ_ERROR it answers with that instead; with
 * NO_XEN nothing can be opened. What it opens stays open at exec(2). Errors are logged, where there is a logger. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16
#define PAGE 4096

struct xentoollog_logger {
    void (*vmessage)(struct xentoollog_logger *, int, int, const char *, const char *, va_list);
    void (*progress)(struct xentoollog_logger *, const char *, const char *, int, unsigned long, unsigned long);
    void (*destroy)(struct xentoollog_logger *);
};

struct handle {
    struct xentoollog_logger *logger;
    int fd, to;
};

static void say(struct xentoollog_logger *logger, int level, const char *format, ...) {
    int kept = errno;
    va_list arguments;
    va_start(arguments, format);
    if (logger)
        logger->vmessage(logger, level, errno, "fake", format, arguments);
    else
        vfprintf(stderr, format, arguments);
    va_end(arguments);
    errno = kept;
}

static struct handle *new_handle(struct xentoollog_logger *logger, unsigned flags) {
    struct handle *handle = calloc(1, sizeof(*handle));
    if (flags)
        abort();
#ifdef NO_XEN
    errno = ENOENT;
    say(logger, 5, "cannot open %s\n", "it");
    free(handle);
    return NULL;
#endif
    handle->logger = logger;
    return handle;
}

static struct handle *with_memory(struct xentoollog_logger *logger, unsigned flags, const char *name) {
    struct handle *handle = new_handle(logger, flags);
    if (handle) {
        handle->fd = memfd_create(name, 0);
        if (ftruncate(handle->fd, PAGES * PAGE))
            abort();
    }
    return handle;
}

static int close_handle(struct handle *handle) {
    close(handle->fd);
    if (handle->to)
        close(handle->to);
    free(handle);
    return 0;
}

static void *map(struct handle *handle, uint64_t page, int prot) {
    if (page >= PAGES) {
        errno = EINVAL;
        say(handle->logger, 5, "no page %d\n", (int)page);
        return NULL;
    }
    void *base = mmap(NULL, PAGE, prot, MAP_SHARED, handle->fd, page * PAGE);
    return base == MAP_FAILED ? NULL : base;
}

struct handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags) {
    struct handle *handle = new_handle(logger, flags);
    int ends[2];
    if (handle) {
        if (pipe(ends))
            abort();
        handle->fd = ends[0];
        handle->to = ends[1];
    }
    return handle;
}
int xenevtchn_close(struct handle *handle) { return close_handle(handle); }
int xenevtchn_fd(struct handle *handle) { return handle->fd; }
int xenevtchn_notify(struct handle *handle, uint32_t port) { return write(handle->to, &port, sizeof(port)) == 4 ? 0 : -1; }
int xenevtchn_bind_interdomain(struct handle *handle, uint32_t domid, uint32_t remote) {
    (void)handle;
    if (domid != 7) {
        errno = ESRCH;
        return -1;
    }
    return 1000 + remote;
}
int xenevtchn_bind_virq(struct handle *handle, unsigned virq) {
    (void)handle;
    return 2000 + virq;
}
int xenevtchn_unbind(struct handle *handle, uint32_t port) {
    (void)handle;
    if (port != 1003) {
        errno = ENOTCONN;
        return -1;
    }
    return 0;
}
/* Something unmasked is pending again. */
int xenevtchn_unmask(struct handle *handle, uint32_t port) { return xenevtchn_notify(handle, port); }

struct handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags) {
    return with_memory(logger, flags, "fake-grants");
}
int xengnttab_close(struct handle *handle) { return close_handle(handle); }
void *xengnttab_map_grant_ref(struct handle *handle, uint32_t domid, uint32_t reference, int prot) {
    return map(handle, domid == 7 ? reference : PAGES, prot);
}
int xengnttab_unmap(struct handle *handle, void *base, uint32_t count) {
    (void)handle;
    return munmap(base, (size_t)count * PAGE);
}

struct handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned flags) {
    return with_memory(logger, flags, "fake-foreign");
}
int xenforeignmemory_close(struct handle *handle) { return close_handle(handle); }
void *xenforeignmemory_map(struct handle *handle, uint32_t domid, int prot, size_t pages, const uint64_t *gfns, int *errors) {
    if (pages != 1 || errors)
        abort();
    return map(handle, domid == 7 ? gfns[0] : PAGES, prot);
}
int xenforeignmemory_unmap(struct handle *handle, void *base, size_t pages) {
    (void)handle;
    return munmap(base, pages * PAGE);
}

struct handle *xc_interface_open(struct xentoollog_logger *logger, struct xentoollog_logger *building, unsigned flags) {
    if (logger != building)
        abort();
    return with_memory(logger, flags, "fake-ctrl");
}
int xc_interface_close(struct handle *handle) { return close_handle(handle); }
int xc_readconsolering(struct handle *handle, char *buffer, unsigned *count, int clear, int incremental, uint32_t *index) {
    (void)handle;
    if (clear || !incremental)
        abort();
#ifdef READ_ERROR
    errno = READ_ERROR;
    return -1;
#endif
    /* Of the first ten letters nothing is left. */
    uint32_t from = *index < 10 ? 10 : *index;
    unsigned there = 26 - from;
    if (*count > there)
        *count = there;
    for (unsigned at = 0; at < *count; at++)
        buffer[at] = 'a' + from + at;
    *index = from + *count;
    return 0;
}
