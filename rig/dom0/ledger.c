/*
 * ledger FILE...: what became of a guest's "numbers" (guest/tiny.c), the files read as one text: each number must be there
 * once and in its order, but that after a cut up to one ring (2048 bytes, 128 numbers) may come again. Prints the first and
 * the last number, how often something came again, and the first things that are wrong; then its status is 1.
 *
 * Where something comes again a line may be cut: only what is whole, "number " and eight digits and no other, is looked at.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING 128

static long first, last, previous, again, wrong;

static void complain(const char *what, long number)
{
	if (wrong++ < 5)
		printf("wrong: %ld after %ld %s\n", number, previous, what);
}

static void take(long number)
{
	if (!first)
		first = number;
	else if (number > last + 1)
		complain("(missing between)", number);
	else if (number <= previous) {
		again++;
		if (previous - number >= RING)
			complain("(more than a ring again)", number);
	} else if (number != previous + 1)
		complain("(missing in what comes again)", number);
	previous = number;
	if (number > last)
		last = number;
}

int main(int argc, char **argv)
{
	static char line[65536];

	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "r");

		if (!file)
			err(2, "%s", argv[i]);
		while (fgets(line, sizeof(line), file))
			for (char *at = line; (at = strstr(at, "number ")); at++)
				if (strspn(at + 7, "0123456789") == 8)
					take(atol(at + 7));
		fclose(file);
	}
	printf("numbers %ld to %ld, again %ld times\n", first, last, again);
	return wrong > 0 || !first;
}
