/* SPDX-License-Identifier: GPL-2.0-or-later */
/* start64.S - multiboot entry into long mode; exception stubs; calls that survive faults. */
        .section .head, "ax"
        .align 4
        .long 0x1badb002, 0, -0x1badb002

        .text
        .code32
        .globl _start
_start: mov     $stack_top, %esp
        /* Identity map of 1 GiB by large pages, present, writable, user. */
        mov     $pdpt + 7, %eax
        mov     %eax, pml4
        mov     $pd + 7, %eax
        mov     %eax, pdpt
        xor     %ecx, %ecx
1:      mov     %ecx, %eax
        shl     $21, %eax
        or      $0x87, %eax
        mov     %eax, pd(,%ecx,8)
        inc     %ecx
        cmp     $512, %ecx
        jne     1b
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $0x620, %eax            /* PAE, OSFXSR, OSXMMEXCPT */
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x901, %eax            /* LME, NXE, SCE */
        wrmsr
        mov     $0x80010033, %eax
        mov     %eax, %cr0
        lgdt    gdt_ptr
        ljmp    $8, $1f
        .code64
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_top, %rsp
        call    guest_start
        hlt

/* ---- exception stubs, 16 bytes each ---- */
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
        push    %r15
        push    %r14
        push    %r13
        push    %r12
        push    %r11
        push    %r10
        push    %r9
        push    %r8
        push    %rdi
        push    %rsi
        push    %rbp
        push    %rbx
        push    %rdx
        push    %rcx
        push    %rax
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbp
        and     $-16, %rsp
        call    handle_exception
        mov     %rbp, %rsp
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rbx
        pop     %rbp
        pop     %rsi
        pop     %rdi
        pop     %r8
        pop     %r9
        pop     %r10
        pop     %r11
        pop     %r12
        pop     %r13
        pop     %r14
        pop     %r15
        add     $16, %rsp
        iretq

/* ---- unsigned try_call(fn, arg) ---- */
        .globl  try_call
try_call:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        pushf
        mov     %rsp, try_sp
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        mov     $0x100, %eax
try_end:
        movq    $0, try_sp
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %ss
        popf
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .globl  try_failed
try_failed:
        mov     %edi, %eax
        mov     try_sp, %rsp
        jmp     try_end

/* ---- the same at CPL 3; comes back by vector 0xff ---- */
        .globl  user_try_call
user_try_call:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        pushf
        mov     %rsp, try_sp
        mov     %rsp, tss + 4           /* RSP0: below what is in use */
        mov     %rdi, %rax
        mov     %rsi, %rdi
        push    $0x2b
        lea     user_stack_top - 8, %rcx
        push    %rcx
        movq    $user_return, (%rcx)
        push    $0x3002                 /* IOPL 3 */
        push    $0x33
        push    %rax
        mov     $0x2b, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        iretq
user_return:
        int     $0xff

        .data
        .align  16
        .globl  gdt, try_sp
gdt:    .quad   0
        .quad   0x00af9a000000ffff      /* 08 kernel code, 64 bits */
        .quad   0x00cf92000000ffff      /* 10 kernel data */
        .quad   0x00cf9a000000ffff      /* 18 kernel code, 32 bits */
        .quad   0x00cffa000000ffff      /* 20 user code, 32 bits */
        .quad   0x00cff2000000ffff      /* 28 user data */
        .quad   0x00affa000000ffff      /* 30 user code, 64 bits */
        .quad   0x00009a000000ffff      /* 38 code, 16 bits */
        .quad   0x000092000000ffff      /* 40 data, 64 KiB */
        .fill   23, 8, 0
gdt_ptr:
        .word   . - gdt - 1
        .quad   gdt
try_sp: .quad   0

        .bss
        .align  4096
        .globl  pml4, pdpt, pd, stack_top, user_stack_top, df_stack_top
pml4:   .skip   4096
pdpt:   .skip   4096
pd:     .skip   4096
        .skip   16384
stack_top:
        .skip   8192
user_stack_top:
        .skip   4096
df_stack_top:
        .skip   16
        .section .note.GNU-stack, "", @progbits
