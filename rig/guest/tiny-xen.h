/*
 * What tiny.c needs of Xen's interface to guests (xen/include/public), for PV guests of 64 bits and PVH and HVM guests of
 * 32 bits. Its functions are here too: they are few, and one file includes them.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long ulong;

#define MS 1000000ULL /* system time is in nanoseconds */
#define barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define PAGE __attribute__((aligned(4096)))

enum { MEMORY_OP = 12, UPDATE_VA_MAPPING = 14, SCHED_OP = 29, EVENT_CHANNEL_OP = 32, HVM_OP = 34 };
enum { EVTCHNOP_SEND = 4, SCHEDOP_SHUTDOWN = 2, SCHEDOP_POLL = 3, ADD_TO_PHYSMAP = 7, HVMOP_GET_PARAM = 1 };
enum { SHUTDOWN_POWEROFF = 0, SHUTDOWN_REBOOT = 1, SHUTDOWN_CRASH = 3 };
enum { PARAM_CONSOLE_PFN = 17, PARAM_CONSOLE_EVTCHN = 18, DOMID_SELF = 0x7ff0 };

/* io/console.h: xencons_interface */
struct ring {
	volatile char in[1024], out[2048];
	volatile u32 in_cons, in_prod, out_cons, out_prod;
	volatile u8 connection;
};

/* xen.h: shared_info, the same in both widths as far as it goes here */
struct shared {
	u8 before[32];
	struct {
		volatile u32 version, pad;
		u64 tsc, system;
		u32 mul;
		signed char shift;
	} time; /* of the only processor */
	u8 between[2048 - 32 - 32];
	u8 pending[512];
};

/* sched.h: sched_poll */
struct poll {
	u32 *ports;
	u32 count;
	u64 timeout;
};

/* start_info or hvm_start_info, as far as it goes here */
#ifdef __x86_64__
struct start {
	char magic[32];
	ulong pages, shared_info;
	u32 flags, pad0;
	ulong store_mfn;
	u32 store_evtchn, pad1;
	ulong console_mfn;
	u32 console_evtchn, pad2;
	ulong page_tables, page_table_frames, mfn_list, module, module_length;
	char command_line[1024];
};
#else
struct start {
	u32 magic, version, flags, modules;
	u64 module_list, command_line;
};
#endif

extern char hypercall_page[];
static char shared_page[4096] PAGE;

static inline long hypercall(ulong number, ulong a, ulong b)
{
	long result;
	char *entry = hypercall_page + 32 * number;

#ifdef __x86_64__
	register ulong fourth __asm__("r10") = 0;
	ulong third = 2; /* UVMF_INVLPG: only UPDATE_VA_MAPPING takes a third argument */

	__asm__ volatile("call *%%rax" : "=a"(result), "+D"(a), "+S"(b), "+d"(third), "+r"(fourth)
			 : "0"(entry) : "rcx", "r11", "r8", "r9", "memory");
#else
	__asm__ volatile("call *%%eax" : "=a"(result), "+b"(a), "+c"(b) : "0"(entry) : "edx", "esi", "edi", "memory");
#endif
	return result;
}

static void shut_down(u32 reason)
{
	for (;;)
		hypercall(SCHED_OP, SCHEDOP_SHUTDOWN, (ulong)&reason);
}

/* The system time: xen.h, vcpu_time_info. */
static u64 now(struct shared *shared)
{
	u32 version, low, high;
	u64 time, ticks;

	do {
		version = shared->time.version;
		barrier();
		__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
		ticks = ((u64)high << 32 | low) - shared->time.tsc;
		ticks = shared->time.shift < 0 ? ticks >> -shared->time.shift : ticks << shared->time.shift;
		time = shared->time.system + (ticks >> 32) * shared->time.mul +
		       ((ticks & 0xffffffff) * shared->time.mul >> 32);
		barrier();
	} while (version & 1 || version != shared->time.version);
	return time;
}

void guest(const char *command_line);

#ifdef __x86_64__

static struct start *start_info;

/* The console's page is the one whose machine frame start_info names: a page's virtual address is its number in mfn_list. */
static void reconnect(struct ring **ring, struct shared **shared, u32 *port)
{
	ulong *mfns = (ulong *)start_info->mfn_list, page = 0;

	if (*ring)
		return;
	hypercall(UPDATE_VA_MAPPING, (ulong)shared_page, start_info->shared_info | 7);
	while (mfns[page] != start_info->console_mfn)
		page++;
	*ring = (struct ring *)(page << 12);
	*shared = (struct shared *)shared_page;
	*port = start_info->console_evtchn;
}

static void print_in_hypervisor_log(const char *text) { (void)text; }
static void print_on_serial_port(const char *text) { (void)text; }

void start_here(struct start *start)
{
	start_info = start;
	guest(start->command_line);
}

#else

static ulong param(u32 index)
{
	struct { u16 domain, pad; u32 index; u64 value; } get = { DOMID_SELF, 0, index, 0 };

	hypercall(HVM_OP, HVMOP_GET_PARAM, (ulong)&get);
	return get.value;
}

/* Over and over: after it was saved and restored, the guest has another event channel and has lost the shared page. */
static void reconnect(struct ring **ring, struct shared **shared, u32 *port)
{
	struct { u16 domain, size; u32 space; ulong index, gfn; } map = { DOMID_SELF, 0, 0, 0, (ulong)shared_page >> 12 };

	hypercall(MEMORY_OP, ADD_TO_PHYSMAP, (ulong)&map);
	*shared = (struct shared *)shared_page;
	*ring = (struct ring *)(param(PARAM_CONSOLE_PFN) << 12);
	*port = param(PARAM_CONSOLE_EVTCHN);
}

static void print_to(u16 port, const char *text)
{
	for (; *text; text++)
		__asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"(port));
}

static void print_in_hypervisor_log(const char *text)
{
	print_to(0xe9, text);
	print_to(0xe9, "\n");
}

static void print_on_serial_port(const char *text) { print_to(0x3f8, text); }

/* `start` is 0 in an HVM guest, which has no command line. */
void start_here(struct start *start)
{
	u32 leaf = 0x40000002, msr, c, d;

	__asm__ volatile("cpuid" : "+a"(leaf), "=b"(msr), "=c"(c), "=d"(d));
	__asm__ volatile("wrmsr" : : "c"(msr), "a"(hypercall_page), "d"(0));
	guest(start && start->command_line ? (const char *)(ulong)start->command_line : "");
}

#endif
