/* SPDX-License-Identifier: GPL-2.0-or-later */
/* start32.S - multiboot entry, 32-bit protected mode without paging; see start64.S. */
        .section .head, "ax"
        .align 4
        .long 0x1badb002, 0, -0x1badb002

        .text
        .code32
        .globl _start
_start: mov     $stack_top, %esp
        lgdt    gdt_ptr
        ljmp    $8, $1f
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        call    guest_start
        hlt

        .align  16
        .globl  stub_table
stub_table:
        vector = 0
        .rept   256
        .align  16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
        push    $0
        .endif
        push    $vector
        jmp     exception
        vector = vector + 1
        .endr

exception:
        pusha
        cld
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        push    %esp
        call    handle_exception
        add     $4, %esp
        popa
        add     $8, %esp
        iret

        .globl  try_call
try_call:
        mov     4(%esp), %eax
        mov     8(%esp), %edx
        push    %ebx
        push    %ebp
        push    %esi
        push    %edi
        pushf
        mov     %esp, try_sp
        push    %edx
        call    *%eax
        add     $4, %esp
        mov     $0x100, %eax
try_end:
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %ss
        movl    $0, try_sp
        popf
        pop     %edi
        pop     %esi
        pop     %ebp
        pop     %ebx
        ret

        .globl  try_failed
try_failed:
        mov     4(%esp), %eax
        mov     try_sp, %esp
        jmp     try_end

        .globl  user_try_call
user_try_call:
        mov     4(%esp), %eax
        mov     8(%esp), %edx
        push    %ebx
        push    %ebp
        push    %esi
        push    %edi
        pushf
        mov     %esp, try_sp
        mov     %esp, tss + 4           /* ESP0: below what is in use */
        lea     user_stack_top - 8, %ecx
        movl    $user_return, (%ecx)
        mov     %edx, 4(%ecx)
        push    $0x2b
        push    %ecx
        push    $0x3002
        push    $0x23
        push    %eax
        mov     $0x2b, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        iret
user_return:
        int     $0xff

        .data
        .align  16
        .globl  gdt, try_sp
gdt:    .quad   0
        .quad   0x00cf9a000000ffff      /* 08 kernel code */
        .quad   0x00cf92000000ffff      /* 10 kernel data */
        .quad   0x00cf9a000000ffff      /* 18 */
        .quad   0x00cffa000000ffff      /* 20 user code */
        .quad   0x00cff2000000ffff      /* 28 user data */
        .quad   0
        .quad   0x00009a000000ffff      /* 38 code, 16 bits */
        .quad   0x000092000000ffff      /* 40 data, 64 KiB */
        .fill   23, 8, 0
gdt_ptr:
        .word   . - gdt - 1
        .long   gdt
try_sp: .long   0

        .bss
        .align  4096
        .globl  stack_top, user_stack_top, df_stack_top
        .skip   16384
stack_top:
        .skip   8192
user_stack_top:
        .skip   4096
df_stack_top:
        .skip   16
        .section .note.GNU-stack, "", @progbits
