/*
 * A guest without an operating system: up in the blink of an eye, and able to do to its console what no kernel would.
 * As a PV (64 bits) and a PVH guest (32 bits) it is a kernel; behind guest/tiny-boot.S it is the disk of an HVM guest.
 *
 * It says "guest: ready" and then answers each line that is typed with "guest: heard LINE". An HVM guest also says
 * "serial: heard LINE" on its serial port. These lines it obeys:
 *
 *	numbers		prints numbered lines, a few each hundredth of a second, from now on
 *	log TEXT	prints TEXT in the hypervisor's log (not PV)
 *	off		shuts down
 *	reboot		wants to be started anew
 *	crash		prints "guest: last words" and crashes
 *	crash silently	the same without an event for what it prints
 *	hostile		floods its console, sends events and writes impossible indices, from now on
 *
 * A PV or PVH guest's command line is taken as the first line.
 */
#include "tiny-xen.h"

static struct ring *ring;

/* The port is asked for each time: a guest that was saved and restored has another one. */
static void notify(void)
{
	u32 port = console_port();

	hypercall(EVENT_CHANNEL_OP, SEND, (ulong)&port, 0);
}

/* Puts what fits into the ring; waits for the rest to fit. The event is the caller's to send. */
static void say(const char *text)
{
	for (; *text; text++) {
		while (ring->out_prod - ring->out_cons >= sizeof(ring->out)) {
			notify();
			nap(1);
		}
		ring->out[ring->out_prod % sizeof(ring->out)] = *text;
		barrier();
		ring->out_prod++;
	}
}

static void numbers(void)
{
	static u32 number;
	char line[] = "number 00000000\n";

	for (int lines = 0; lines < 16; lines++) {
		u32 rest = ++number;

		for (int digit = 14; digit >= 7; digit--, rest /= 10)
			line[digit] = '0' + rest % 10;
		say(line);
	}
	notify();
	nap(10);
}

/*
 * A flood, then events without end, then indices that cannot be: more than a ring ahead of what has been taken. These are
 * put right in the end, so that the next flood is one. The values come from a generator of pseudorandom numbers.
 */
static void attack(void)
{
	static u32 random = 1;
	u32 produced, consumed;

	for (int lines = 0; lines < 2048; lines++)
		say("a flood of lines, one after another, without end and without a number\n");
	while (ring->out_cons != ring->out_prod) {
		notify();
		nap(1);
	}
	for (int events = 0; events < 4096; events++)
		notify();
	produced = ring->out_prod;
	consumed = ring->in_cons;
	for (int i = 0; i < 4096; i++) {
		random = random * 1664525 + 1013904223;
		switch (random >> 29) {
		case 0: ring->in_cons = random * 69069; break;
		case 1: ring->in_prod = random * 69069; break;
		case 2: ring->out_cons = random * 69069; break;
		case 3: ring->connection = random >> 8; break;
		case 4: ring->in_cons = ring->in_prod + 1; break;
		case 5: ring->out_prod = produced - 1; break;
		case 6: ring->out_prod = produced + sizeof(ring->out) + 1; break;
		default: ring->out_prod = produced + sizeof(ring->out) + 1 + (random >> 2); break;
		}
		notify();
	}
	ring->out_prod = ring->out_cons = produced;
	ring->in_prod = ring->in_cons = consumed;
}

static int begins(const char *line, const char *word)
{
	while (*word)
		if (*line++ != *word++)
			return 0;
	return 1;
}

static void (*ever)(void);

static void obey(const char *line)
{
	if (begins(line, "numbers"))
		ever = numbers;
	else if (begins(line, "hostile"))
		ever = attack;
	else if (begins(line, "log "))
		print_in_hypervisor_log(line + 4);
	else if (begins(line, "off"))
		shut_down(SHUTDOWN_POWEROFF);
	else if (begins(line, "reboot"))
		shut_down(SHUTDOWN_REBOOT);
	else if (begins(line, "crash")) {
		say("guest: last words\n");
		if (!begins(line, "crash silently"))
			notify();
		shut_down(SHUTDOWN_CRASH);
	}
}

/* Takes what was typed; a line ends with either of the two characters a terminal may send. */
static void listen(void)
{
	static char line[128];
	static u32 length;

	while (ring->in_cons != ring->in_prod) {
		char typed = ring->in[ring->in_cons % sizeof(ring->in)];

		barrier();
		ring->in_cons++;
		if (typed != '\r' && typed != '\n') {
			if (length < sizeof(line) - 1)
				line[length++] = typed;
			continue;
		}
		line[length] = 0;
		length = 0;
		say("guest: heard ");
		say(line);
		say("\n");
		notify();
		print_on_serial_port("serial: heard ");
		print_on_serial_port(line);
		print_on_serial_port("\r\n");
		obey(line);
	}
}

void guest(const char *command_line)
{
	ring = console_ring();
	say("guest: ready\n");
	notify();
	obey(command_line);
	for (;;) {
		if (ever != attack)
			listen();
		if (ever)
			ever();
		else if (ring->in_cons == ring->in_prod)
			nap(1);
	}
}
