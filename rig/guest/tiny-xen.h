/*
 * What tiny.c needs of Xen's interface to guests (xen/include/public), for PV guests of 64 bits and PVH and HVM guests of
 * 32 bits. Its functions are here too: they are few, and one file includes them.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long ulong;

#define barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)

enum { VCPU_OP = 24, SCHED_OP = 29, EVENT_CHANNEL_OP = 32, HVM_OP = 34 };
enum { RUNSTATE = 4, SHUTDOWN = 2, POLL = 3, SEND = 4, GET_PARAM = 1 };
enum { SHUTDOWN_POWEROFF = 0, SHUTDOWN_REBOOT = 1, SHUTDOWN_CRASH = 3 };
enum { PARAM_CONSOLE_PFN = 17, PARAM_CONSOLE_EVTCHN = 18, DOMID_SELF = 0x7ff0 };

/* io/console.h: xencons_interface */
struct ring {
	volatile char in[1024], out[2048];
	volatile u32 in_cons, in_prod, out_cons, out_prod;
	volatile u8 connection;
};

/* vcpu.h: vcpu_runstate_info */
struct runstate {
	u32 state;
	u64 since, times[4];
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

static inline long hypercall(ulong number, ulong a, ulong b, ulong c)
{
	long result;
	char *entry = hypercall_page + 32 * number;

#ifdef __x86_64__
	__asm__ volatile("call *%%rax" : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
			 : "0"(entry) : "rcx", "r8", "r9", "r10", "r11", "memory");
#else
	__asm__ volatile("call *%%eax" : "=a"(result), "+b"(a), "+c"(b), "+d"(c) : "0"(entry) : "esi", "edi", "memory");
#endif
	return result;
}

static void shut_down(u32 reason)
{
	for (;;)
		hypercall(SCHED_OP, SHUTDOWN, (ulong)&reason, 0);
}

/*
 * Sleeps: until a time a little after this processor last began to run, as it did when it last woke up. Neither events nor
 * the shared page are used, so that there is nothing to set up anew when the guest was saved and restored.
 */
static void nap(u32 milliseconds)
{
	struct runstate runstate;
	struct poll poll = { 0, 0, 0 };

	hypercall(VCPU_OP, RUNSTATE, 0, (ulong)&runstate);
	poll.timeout = runstate.since + milliseconds * 1000000ULL;
	hypercall(SCHED_OP, POLL, (ulong)&poll, 0);
}

void guest(const char *command_line);

#ifdef __x86_64__

static struct start *start_info;

/* The console's page is the one whose machine frame start_info names: a page's virtual address is its number in mfn_list. */
static struct ring *console_ring(void)
{
	ulong *mfns = (ulong *)start_info->mfn_list, page = 0;

	while (mfns[page] != start_info->console_mfn)
		page++;
	return (struct ring *)(page << 12);
}

static u32 console_port(void) { return start_info->console_evtchn; }
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

	hypercall(HVM_OP, GET_PARAM, (ulong)&get, 0);
	return get.value;
}

static struct ring *console_ring(void) { return (struct ring *)(param(PARAM_CONSOLE_PFN) << 12); }
static u32 console_port(void) { return param(PARAM_CONSOLE_EVTCHN); }

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
