/*
 * Lets Xen's own user-space programs (xenstored, oxenstored, xenconsoled, xenconsole) run unmodified on a machine without
 * Xen: this stands in for the libraries through which they speak to the hypervisor, and for the two files that Linux offers
 * only under Xen. Any user, any number side by side.
 *
 *     cc -shared -fPIC -pthread -o hypervisor.so hypervisor.c
 *     HYPERVISOR=DIR LD_PRELOAD=./hypervisor.so xenconsoled -i
 *
 * A program that opens the libraries by name gets it under each of these names, in a directory for LD_LIBRARY_PATH.
 *
 * HYPERVISOR names the hypervisor's directory: whoever plays it (crates/testbed) listens on DIR/hypervisor for the questions
 * below, and has the pages of each domain in files, DIR/domN/grantREF and DIR/domN/frameNUMBER. Without HYPERVISOR there are a
 * few rules in its place: every domain lives, its pages are empty, and no event ever comes. A store needs no more.
 *
 * With HYPERVISOR_LIFELINE=1 the program ends when its standard input does, that is, with the process that holds the other end,
 * however that one ends. What has its place compiled in gets another one: the socket of oxenstored is XENSTORED_RUNDIR/socket,
 * the locks of xenconsole are in HYPERVISOR.
 *
 * What a program that is measured does in here is about what it does in Xen's libraries: a read(2) for events, and one write(2)
 * of a few bytes for each notify (an ioctl(2) there) and unmask. There is no thread and no lock but around questions.
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

/* What a library's open function returns where there is nothing to remember: anything but NULL. */
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

	if (!getenv("HYPERVISOR_LIFELINE"))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, wait_for_end_of_input, NULL)) {
		fprintf(stderr, "hypervisor.so: no thread to wait for the end of input\n");
		_exit(1);
	}
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- files of Linux under Xen, and paths that are compiled in ---- */

static const char *hypervisor(void)
{
	return getenv("HYPERVISOR");
}

static int memory_file(const char *name, const char *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd >= 0 && (ftruncate(fd, text ? 0 : PAGE) || (text && pwrite(fd, text, strlen(text), 0) < 0))) {
		close(fd);
		return -1;
	}
	return fd;
}

static const char socket_path[] = "/var/run/xenstored/socket";
static const char lock_path[] = "/var/lock/xenconsole.";

/* What takes the place of a path that a program insists on: the socket of oxenstored, the locks of xenconsole. */
static const char *moved(const char *path, char *buffer, size_t size)
{
	const char *dir = getenv("XENSTORED_RUNDIR");

	if (!strcmp(path, socket_path) && dir)
		snprintf(buffer, size, "%s/socket", dir);
	else if (!strncmp(path, lock_path, sizeof lock_path - 1) && hypervisor())
		snprintf(buffer, size, "%s/%s", hypervisor(), strrchr(path, '/') + 1);
	else
		return path;
	return buffer;
}

static int open_as(const char *real_name, const char *path, int flags, mode_t mode)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, real_name);
	char buffer[PAGE];

	if (!strcmp(path, "/proc/xen/xsd_port"))
		return memory_file("xsd_port", "1");
	if (!strcmp(path, "/proc/xen/xsd_kva"))
		return memory_file("xsd_kva", NULL);
	return real(moved(path, buffer, sizeof buffer), flags, mode);
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

int stat(const char *path, struct stat *status)
{
	int (*real)(const char *, struct stat *) = (int (*)(const char *, struct stat *))dlsym(RTLD_NEXT, "stat");
	char buffer[PAGE];

	return real(moved(path, buffer, sizeof buffer), status);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*real)(int, const struct sockaddr *, socklen_t) =
		(int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
	struct sockaddr_un given = { 0 }, used = { .sun_family = AF_UNIX };
	char buffer[sizeof used.sun_path];

	memcpy(&given, address, length < sizeof given ? length : sizeof given);
	if (given.sun_family != AF_UNIX || strncmp(given.sun_path, socket_path, sizeof given.sun_path))
		return real(fd, address, length);
	snprintf(used.sun_path, sizeof used.sun_path, "%s", moved(socket_path, buffer, sizeof buffer));
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

/* ---- the hypervisor, where there is one ---- */

/* What is asked, as crates/testbed/src/hypervisor/call.rs reads it; UNMASK and NOTIFY have no answer, and a pipe of their own. */
enum { EVENTS, BIND_INTERDOMAIN, BIND_VIRQ, UNBIND, UNMASK, NOTIFY, STATUS, DOMAIN, CONSOLE };

struct question {
	uint32_t what, arguments[4];
};

/* Comes before what is answered. A negative result is an error number. */
struct answer {
	int32_t result;
	uint32_t length;
};

static int connect_hypervisor(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/hypervisor", hypervisor());
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int write_question(int fd, uint32_t what, const uint32_t arguments[4])
{
	struct question question = { .what = what };

	memcpy(question.arguments, arguments, sizeof question.arguments);
	return send(fd, &question, sizeof question, MSG_NOSIGNAL) == sizeof question ? 0 : -1;
}

static int read_all(int fd, void *buffer, size_t length)
{
	char *at = buffer;

	while (length > 0) {
		ssize_t count = read(fd, at, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			if (count == 0)
				errno = EIO;
			return -1;
		}
		at += count;
		length -= (size_t)count;
	}
	return 0;
}

/* The result, with what else was answered in `data`; or -1 with errno set. */
static int read_answer(int fd, void *data, size_t size)
{
	struct answer answer;

	if (read_all(fd, &answer, sizeof answer) || answer.length > size || read_all(fd, data, answer.length))
		return -1;
	if (answer.result < 0) {
		errno = -answer.result;
		return -1;
	}
	return answer.result;
}

static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

static int ask(int fd, uint32_t what, const uint32_t arguments[4], void *data, size_t size)
{
	int result = -1, why;

	pthread_mutex_lock(&asking);
	if (!write_question(fd, what, arguments))
		result = read_answer(fd, data, size);
	why = errno;
	pthread_mutex_unlock(&asking);
	errno = why;
	return result;
}

#define ARGUMENTS(...) ((const uint32_t[4]){ __VA_ARGS__ })

/* What is asked through libxenctrl, over one connection for each process (a child has to make its own). */
static int ask_control(uint32_t what, const uint32_t arguments[4], void *data, size_t size)
{
	static int fd = -1;
	static pid_t owner;

	if (fd < 0 || owner != getpid()) {
		fd = connect_hypervisor();
		owner = getpid();
	}
	return fd < 0 ? -1 : ask(fd, what, arguments, data, size);
}

/* ---- libxenctrl ---- */

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

/* A domain as the hypervisor tells of it. Flags are those of XEN_DOMCTL_getdomaininfo (xen/include/public/domctl.h). */
struct told {
	uint32_t domid, flags;
};

enum { DYING = 1 << 0, HVM = 1 << 1, SHUTDOWN = 1 << 2, SHUTDOWN_SHIFT = 16, CRASHED = 3 };

/* The first domain whose id is not below `first`. Without a hypervisor it is that one, and it lives. */
static int first_domain(uint32_t first, struct told *told)
{
	*told = (struct told){ .domid = first };
	return hypervisor() ? ask_control(DOMAIN, ARGUMENTS(first), told, sizeof *told) : 0;
}

/* The front of xc_dominfo_t: all that is read of it. Flags: bit 0 dying, 1 crashed, 2 shutdown, 6 hvm. */
struct dominfo {
	uint32_t domid, ssidref, flags;
};

/* Tells of one domain at a time, whatever number is asked for: so the size of what is told need not be known. */
int xc_domain_getinfo(void *xch, uint32_t first, unsigned int most, struct dominfo *info)
{
	struct told told;

	(void)xch;
	if (most < 1)
		return 0;
	if (first_domain(first, &told) < 0)
		return -1;
	*info = (struct dominfo){ .domid = told.domid };
	if (told.flags & DYING)
		info->flags |= 1 << 0;
	if (told.flags & SHUTDOWN)
		info->flags |= told.flags >> SHUTDOWN_SHIFT == CRASHED ? 1 << 1 : 1 << 2;
	if (told.flags & HVM)
		info->flags |= 1 << 6;
	return 1;
}

/* The front of xc_domaininfo_t; 0 in flags is a domain that lives and waits. */
struct domaininfo {
	uint16_t domid, pad;
	uint32_t flags;
	uint64_t numbers[6];
};

/* As above, one at a time. */
int xc_domain_getinfolist(void *xch, uint32_t first, unsigned int most, struct domaininfo *info)
{
	struct told told;

	(void)xch;
	if (most < 1)
		return 0;
	if (first_domain(first, &told) < 0)
		return errno == ESRCH ? 0 : -1;
	*info = (struct domaininfo){ .domid = (uint16_t)told.domid, .flags = told.flags };
	return 1;
}

/* Xen 4.18 and newer. */
int xc_domain_getinfo_single(void *xch, uint32_t domid, struct domaininfo *info)
{
	if (xc_domain_getinfolist(xch, domid, 1, info) == 1 && info->domid == domid)
		return 0;
	errno = ESRCH;
	return -1;
}

/* The front of xc_evtchn_status_t. */
struct channel_status {
	uint16_t domid, pad;
	uint32_t port, status;
};

int xc_evtchn_status(void *xch, struct channel_status *status)
{
	int result = hypervisor() ? ask_control(STATUS, ARGUMENTS(status->port), NULL, 0) : 0;

	(void)xch;
	if (result < 0)
		return -1;
	status->status = (uint32_t)result;
	return 0;
}

/* `*index` is used only where `incremental` says so, and set in any case (xen/drivers/char/console.c). */
int xc_readconsolering(void *xch, char *buffer, unsigned int *count, int clear, int incremental, uint32_t *index)
{
	uint32_t from = incremental && index ? *index : 0, *told;
	int length = 0;

	(void)xch;
	if (!hypervisor()) {
		*count = 0;
		return 0;
	}
	/* What is answered is the next index and then the text. */
	told = malloc(sizeof *told + *count);
	if (!told)
		return -1;
	length = ask_control(CONSOLE, ARGUMENTS(from, *count, !!clear, !!incremental), told, sizeof *told + *count);
	if (length >= 0) {
		memcpy(buffer, told + 1, (size_t)length);
		*count = (unsigned int)length;
		if (index)
			*index = *told;
	}
	free(told);
	return length < 0 ? -1 : 0;
}

/* ---- pages of domains ---- */

static void *domain_page(uint32_t domid, const char *kind, uint64_t number, int protection)
{
	char path[PAGE];
	void *page;
	int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (hypervisor()) {
		snprintf(path, sizeof path, "%s/dom%u/%s%llu", hypervisor(), domid, kind, (unsigned long long)number);
		fd = open_as("open", path, O_RDWR | O_CLOEXEC, 0);
		if (fd < 0) {
			errno = EINVAL;
			return NULL;
		}
		flags = MAP_SHARED;
	}
	page = mmap(NULL, PAGE, protection, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	return page == MAP_FAILED ? NULL : page;
}

void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int protection, unsigned long frame)
{
	(void)xch, (void)size;
	return domain_page(domid, "frame", frame, protection);
}

/* DIR/no-grants stands for a host without /dev/xen/gntdev. */
void *xengnttab_open(void *logger, unsigned int flags)
{
	char path[PAGE];

	(void)logger, (void)flags;
	if (hypervisor()) {
		snprintf(path, sizeof path, "%s/no-grants", hypervisor());
		if (!access(path, F_OK)) {
			errno = ENOENT;
			return NULL;
		}
	}
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

void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t reference, int protection)
{
	(void)xgt;
	return domain_page(domid, "grant", reference, protection);
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

void *xenforeignmemory_map(void *fmem, uint32_t domid, int protection, size_t pages, const unsigned long *frames, int *errors)
{
	void *page;

	(void)fmem;
	if (pages != 1) {
		errno = EINVAL;
		return NULL;
	}
	page = domain_page(domid, "frame", frames[0], protection);
	if (!errors)
		return page;
	/* With room for errors the mapping succeeds in the real one, too, and the page is none. */
	errors[0] = page ? 0 : -errno;
	return page ? page : mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int xenforeignmemory_unmap(void *fmem, void *start, size_t pages)
{
	(void)fmem;
	return munmap(start, pages * PAGE);
}

/* ---- event channels ---- */

/*
 * An open handle, as /dev/xen/evtchn is one: the hypervisor writes the ports that are pending into a pipe. What it is told without
 * an answer goes through another one, for a write(2) to a pipe costs a third of a send(2) to a socket.
 */
struct channels {
	int connection, events, words;
};

/* Hands the hypervisor its ends of both pipes: the one that it writes to, and the one that it reads. */
static int give_pipes(int connection, int events, int words)
{
	struct question question = { .what = EVENTS };
	struct iovec data = { &question, sizeof question };
	int ends[2] = { events, words };
	union {
		char bytes[CMSG_SPACE(sizeof ends)];
		struct cmsghdr alignment;
	} control = { { 0 } };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	struct cmsghdr *rights;

	message.msg_control = control.bytes;
	message.msg_controllen = sizeof control.bytes;
	rights = CMSG_FIRSTHDR(&message);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof ends);
	memcpy(CMSG_DATA(rights), ends, sizeof ends);
	if (sendmsg(connection, &message, MSG_NOSIGNAL) != sizeof question)
		return -1;
	return read_answer(connection, NULL, 0);
}

/* A pipe as one descriptor for both ends: whoever writes is sent no SIGPIPE, whatever becomes of the hypervisor. */
static int open_words(void)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	char path[64];
	int ends[2], both;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
	both = real(path, O_RDWR | O_CLOEXEC);
	close(ends[0]);
	close(ends[1]);
	return both;
}

void *xenevtchn_open(void *logger, unsigned int flags)
{
	struct channels *channels = malloc(sizeof *channels);
	int ends[2] = { -1, -1 };

	(void)logger, (void)flags;
	if (!channels)
		return NULL;
	*channels = (struct channels){ -1, -1, -1 };
	if (!hypervisor()) {
		channels->events = eventfd(0, EFD_CLOEXEC);
		return channels;
	}
	channels->connection = connect_hypervisor();
	channels->words = open_words();
	if (channels->connection < 0 || channels->words < 0 || pipe2(ends, O_CLOEXEC) ||
	    give_pipes(channels->connection, ends[1], channels->words)) {
		int why = errno;
		close(channels->connection);
		close(channels->words);
		close(ends[0]);
		close(ends[1]);
		free(channels);
		errno = why;
		return NULL;
	}
	close(ends[1]);
	channels->events = ends[0];
	return channels;
}

/* After an exec (live update of xenstored) there is a new handle without channels in the place of the old one. */
void *xenevtchn_fdopen(void *logger, int fd, unsigned int flags)
{
	(void)fd;
	return xenevtchn_open(logger, flags);
}

int xenevtchn_close(void *xce)
{
	struct channels *channels = xce;

	if (channels) {
		close(channels->connection);
		close(channels->events);
		close(channels->words);
		free(channels);
	}
	return 0;
}

int xenevtchn_fd(void *xce)
{
	return ((struct channels *)xce)->events;
}

static int ask_channels(void *xce, uint32_t what, const uint32_t arguments[4])
{
	static int next_port = 1;
	struct channels *channels = xce;

	if (channels->connection >= 0)
		return ask(channels->connection, what, arguments, NULL, 0);
	return what == UNBIND ? 0 : next_port++;
}

int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t remote)
{
	return ask_channels(xce, BIND_INTERDOMAIN, ARGUMENTS(domid, remote));
}

int xenevtchn_bind_virq(void *xce, unsigned int virq)
{
	return ask_channels(xce, BIND_VIRQ, ARGUMENTS(virq));
}

int xenevtchn_unbind(void *xce, uint32_t port)
{
	return ask_channels(xce, UNBIND, ARGUMENTS(port));
}

static int tell_channels(void *xce, uint32_t what, uint32_t port)
{
	struct channels *channels = xce;
	struct question question = { .what = what, .arguments = { port } };

	if (channels->connection < 0)
		return 0;
	return write(channels->words, &question, sizeof question) == sizeof question ? 0 : -1;
}

int xenevtchn_notify(void *xce, uint32_t port)
{
	return tell_channels(xce, NOTIFY, port);
}

int xenevtchn_unmask(void *xce, uint32_t port)
{
	return tell_channels(xce, UNMASK, port);
}

int xenevtchn_pending(void *xce)
{
	struct channels *channels = xce;
	uint32_t port;
	ssize_t count;

	if (channels->connection < 0) {
		errno = EAGAIN;
		return -1;
	}
	count = read(channels->events, &port, sizeof port);
	if (count == sizeof port)
		return (int)port;
	if (count >= 0)
		errno = EIO;
	return -1;
}
