/* Where tiny.c is entered: by the domain builder as a PV (64 bits) or PVH (32 bits) kernel, or by tiny-boot.S as PVH. */
	.macro	note type, value:vararg
	.pushsection .note.Xen, "a", @note
	.balign	4
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	\value
2:	.balign	4
	.popsection
	.endm

	.section .text.start, "ax"
	.globl	start, hypercall_page
#ifdef __x86_64__
	note	1, .quad start			/* XEN_ELFNOTE_ENTRY */
	note	2, .quad hypercall_page		/* XEN_ELFNOTE_HYPERCALL_PAGE */
	note	3, .quad 0			/* XEN_ELFNOTE_VIRT_BASE: what is at page n is at address n << 12 */
	note	4, .quad 0			/* XEN_ELFNOTE_PADDR_OFFSET */
	note	5, .asciz "xen-3.0"		/* XEN_ELFNOTE_XEN_VERSION */
	note	6, .asciz "tiny"		/* XEN_ELFNOTE_GUEST_OS */
	note	8, .asciz "generic"		/* XEN_ELFNOTE_LOADER */
start:	leaq	stack_end(%rip), %rsp
	movq	%rsi, %rdi
	call	start_here
#else
	note	18, .long start			/* XEN_ELFNOTE_PHYS32_ENTRY */
start:	movl	$stack_end, %esp
	pushl	%ebx
	call	start_here
#endif
	.balign	4096
hypercall_page:
	.skip	4096

	.data
	.balign	16
	.skip	8192
stack_end:
	.section .note.GNU-stack, "", @progbits
