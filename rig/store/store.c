/*
 * Lets Xen's own store daemons, xenstored and oxenstored, run unmodified on a machine without Xen: preloaded, it
 * answers for the hypervisor and for the two files that Linux offers only under Xen. Any user, any number side by side.
 *
 *     cc -shared -fPIC -o store.so store.c
 *     XENSTORED_RUNDIR=DIR LD_PRELOAD=./store.so xenstored --no-fork </dev/null          # the socket: DIR/socket
 *
 * What a store sees: every domain exists and lives, its ring is an empty page, and no event ever comes. Domains are
 * told of and taken away with INTRODUCE and RELEASE. With STORE_LIFELINE=1 the daemon ends when its standard input
 * does, that is, with the process that holds the other end, however that one ends.
 *
 * No header of Xen is needed: the functions are those of libxenctrl, libxenevtchn, libxengnttab and
 * libxenforeignmemory (tools/include in Xen's source), with pointers that are never looked into as void *.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096

/* What a library's open function returns: anything but NULL. */
static int handle;

/* ---- the end of the parent is the end of the daemon ---- */

static void *wait_for_end_of_input(void *unused)
{
	char byte;
	ssize_t count;

	(void)unused;
	do
		count = read(STDIN_FILENO, &byte, 1);
	while (count > 0 || (count < 0 && errno == EINTR));
	_exit(0);
}

__attribute__((constructor)) static void hold_lifeline(void)
{
	pthread_t thread;
	sigset_t all, before;

	if (!getenv("STORE_LIFELINE"))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, wait_for_end_of_input, NULL)) {
		fprintf(stderr, "store.so: no thread to wait for the end of input\n");
		_exit(1);
	}
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- files of Linux under Xen, and the socket that oxenstored has compiled in ---- */

static int memory_file(const char *name, const char *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd >= 0 && (ftruncate(fd, text ? 0 : PAGE) || (text && pwrite(fd, text, strlen(text), 0) < 0))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_as(const char *real_name, const char *path, int flags, mode_t mode)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, real_name);

	if (!strcmp(path, "/proc/xen/xsd_port"))
		return memory_file("xsd_port", "1");
	if (!strcmp(path, "/proc/xen/xsd_kva"))
		return memory_file("xsd_kva", NULL);
	return real(path, flags, mode);
}

#define OPEN(name)                                                     \
	int name(const char *path, int flags, ...)                     \
	{                                                              \
		mode_t mode = 0;                                       \
		va_list arguments;                                     \
		if (flags & (O_CREAT | O_TMPFILE)) {                   \
			va_start(arguments, flags);                    \
			mode = va_arg(arguments, unsigned int);        \
			va_end(arguments);                             \
		}                                                      \
		return open_as(#name, path, flags, mode);              \
	}
OPEN(open)
OPEN(open64)

static const char compiled_in[] = "/var/run/xenstored/socket";

/* DIR/socket of XENSTORED_RUNDIR=DIR in place of the path that oxenstored insists on; any other path as it is. */
static const char *moved(const char *path, char *buffer, size_t size)
{
	const char *dir = getenv("XENSTORED_RUNDIR");

	if (strcmp(path, compiled_in) || !dir)
		return path;
	snprintf(buffer, size, "%s/socket", dir);
	return buffer;
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*real)(int, const struct sockaddr *, socklen_t) =
		(int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
	struct sockaddr_un given = { 0 }, used = { .sun_family = AF_UNIX };

	memcpy(&given, address, length < sizeof given ? length : sizeof given);
	if (given.sun_family != AF_UNIX || strncmp(given.sun_path, compiled_in, sizeof given.sun_path))
		return real(fd, address, length);
	moved(compiled_in, used.sun_path, sizeof used.sun_path);
	return real(fd, (const struct sockaddr *)&used, sizeof used);
}

int unlink(const char *path)
{
	int (*real)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
	char buffer[PAGE];

	return real(moved(path, buffer, sizeof buffer));
}

/* oxenstored makes the directory of its compiled-in socket, which it is not to need. */
int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t) = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir");

	if (!strcmp(path, "/var/run/xenstored") || !strcmp(path, "/var/lib/xenstored")) {
		errno = EEXIST;
		return -1;
	}
	return real(path, mode);
}

/* Stores ask for as many descriptors as a host with very many domains needs. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	int (*real)(__rlimit_resource_t, const struct rlimit *) =
		(int (*)(__rlimit_resource_t, const struct rlimit *))dlsym(RTLD_NEXT, "setrlimit");
	int result = real(resource, limit);

	return resource == RLIMIT_NOFILE ? 0 : result;
}

uid_t geteuid(void)
{
	return 0;
}

/* ---- libxenctrl: every domain lives ---- */

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned int flags)
{
	(void)logger, (void)dombuild_logger, (void)flags;
	return &handle;
}

int xc_interface_close(void *xch)
{
	(void)xch;
	return 0;
}

/* The front of xc_dominfo_t: all that a store reads. Flags: bit 0 dying, 1 crashed, 2 shutdown. */
struct dominfo {
	uint32_t domid, ssidref, flags;
};

int xc_domain_getinfo(void *xch, uint32_t first, unsigned int most, struct dominfo *info)
{
	(void)xch;
	if (most < 1)
		return 0;
	*info = (struct dominfo){ .domid = first };
	return 1;
}

/* The front of xc_domaininfo_t; 0 in flags is a domain that lives and waits. */
struct domaininfo {
	uint16_t domid, pad;
	uint32_t flags;
	uint64_t numbers[6];
};

int xc_domain_getinfolist(void *xch, uint32_t first, unsigned int most, struct domaininfo *info)
{
	(void)xch;
	if (most < 1)
		return 0;
	*info = (struct domaininfo){ .domid = first };
	return 1;
}

/* Xen 4.18 and newer. */
int xc_domain_getinfo_single(void *xch, uint32_t domid, struct domaininfo *info)
{
	return xc_domain_getinfolist(xch, domid, 1, info) == 1 ? 0 : -1;
}

/* ---- pages of domains ---- */

static void *empty_page(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int prot, unsigned long frame)
{
	(void)xch, (void)domid, (void)size, (void)prot, (void)frame;
	return empty_page();
}

void *xengnttab_open(void *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	return &handle;
}

int xengnttab_close(void *xgt)
{
	(void)xgt;
	return 0;
}

int xengnttab_set_max_grants(void *xgt, uint32_t count)
{
	(void)xgt, (void)count;
	return 0;
}

void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t ref, int prot)
{
	(void)xgt, (void)domid, (void)ref, (void)prot;
	return empty_page();
}

int xengnttab_unmap(void *xgt, void *start, uint32_t count)
{
	(void)xgt;
	return munmap(start, (size_t)count * PAGE);
}

void *xenforeignmemory_open(void *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	return &handle;
}

int xenforeignmemory_close(void *fmem)
{
	(void)fmem;
	return 0;
}

void *xenforeignmemory_map(void *fmem, uint32_t domid, int prot, size_t pages, const void *frames, int *errors)
{
	(void)fmem, (void)domid, (void)prot, (void)frames;
	if (pages != 1) {
		errno = EINVAL;
		return NULL;
	}
	if (errors)
		errors[0] = 0;
	return empty_page();
}

int xenforeignmemory_unmap(void *fmem, void *start, size_t pages)
{
	(void)fmem;
	return munmap(start, pages * PAGE);
}

/* ---- event channels: ports are given out and stay silent ---- */

static int silent = -1;
static int next_port = 1;

void *xenevtchn_open(void *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	if (silent < 0)
		silent = eventfd(0, EFD_CLOEXEC);
	return silent < 0 ? NULL : &handle;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned int flags)
{
	(void)fd;
	return xenevtchn_open(logger, flags);
}

int xenevtchn_close(void *xce)
{
	(void)xce;
	return 0;
}

int xenevtchn_fd(void *xce)
{
	(void)xce;
	return silent;
}

int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t remote)
{
	(void)xce, (void)domid, (void)remote;
	return next_port++;
}

int xenevtchn_bind_virq(void *xce, unsigned int virq)
{
	(void)xce, (void)virq;
	return next_port++;
}

int xenevtchn_unbind(void *xce, uint32_t port)
{
	(void)xce, (void)port;
	return 0;
}

int xenevtchn_notify(void *xce, uint32_t port)
{
	(void)xce, (void)port;
	return 0;
}

int xenevtchn_unmask(void *xce, uint32_t port)
{
	(void)xce, (void)port;
	return 0;
}

int xenevtchn_pending(void *xce)
{
	(void)xce;
	errno = EAGAIN;
	return -1;
}
