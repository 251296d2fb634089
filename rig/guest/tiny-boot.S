/*
 * The boot sector of an HVM guest that is tiny.c: reads the sectors behind it to 0x10000, copies them to where they are
 * linked, 1 MiB, and goes there as the domain builder would with a PVH guest, but without start information.
 */
#define SECTORS 127 /* the most that one call of every BIOS reads */

	.code16
	.text
	.globl	_start
_start:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7c00, %sp
	movw	$packet, %si
	movb	$0x42, %ah
	int	$0x13
	jc	.
	cli
	movb	$0xff, %al	/* no more interrupts of the BIOS' timer: the guest could not sleep */
	outb	%al, $0x21
	outb	%al, $0xa1
	lgdt	table_pointer
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmp	$8, $protected

	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x10000, %esi
	movl	$0x100000, %edi
	movl	$SECTORS * 512, %ecx
	cld
	rep movsb
	xorl	%ebx, %ebx
	movl	$0x100000, %eax
	jmp	*%eax

	.balign	8
packet:	.word	16, SECTORS, 0, 0x1000	/* its size, how many, to offset, segment */
	.quad	1			/* from the second sector on */
table:	.quad	0, 0x00cf9a000000ffff, 0x00cf92000000ffff
table_pointer:
	.word	. - table - 1
	.long	table

	.org	510
	.word	0xaa55
