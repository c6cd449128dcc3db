/* SPDX-License-Identifier: Apache-2.0
 * actor_entry.S: where the stage begins, and its ways into the kernel. kymo_inject lies in a page of its own: by
 * the address a call comes from the filter knows that the supervisor is to answer it.
 */
    .hidden actor_begin

#if defined(__x86_64__)

    .text
    .globl _start
    .type _start, @function
_start:
    xor %ebp, %ebp
    mov %rsp, %rdi
    and $-16, %rsp
    call actor_begin
    ud2

    .macro CALL6 /* rdi: nr, rsi: uint64_t[6] */
    mov %rdi, %rax
    mov (%rsi), %rdi
    mov 16(%rsi), %rdx
    mov 24(%rsi), %r10
    mov 32(%rsi), %r8
    mov 40(%rsi), %r9
    mov 8(%rsi), %rsi
    syscall
    .endm

    .globl kymo_call
    .hidden kymo_call
    .type kymo_call, @function
kymo_call:
    CALL6
    ret

    /* rdi: nr, rsi: args, rdx: stack, rcx: fn, r8: its argument. The child has the parent's stack until it
     * takes its own, and writes nothing there. */
    .globl kymo_spawn
    .hidden kymo_spawn
    .type kymo_spawn, @function
kymo_spawn:
    push %rbx
    push %r12
    push %r13
    mov %rdx, %r12
    mov %rcx, %r13
    mov %r8, %rbx
    CALL6
    test %rax, %rax
    jnz 1f
    mov %r12, %rsp
    xor %ebp, %ebp
    mov %rbx, %rdi
    call *%r13
    ud2
1:  pop %r13
    pop %r12
    pop %rbx
    ret

    .globl kymo_switch
    .hidden kymo_switch
    .type kymo_switch, @function
kymo_switch:
    mov %rdi, %rsp
    mov %rdx, %rdi
    xor %ebp, %ebp
    call *%rsi
    ud2

    .globl kymo_handler
    .hidden kymo_handler
    .type kymo_handler, @function
kymo_handler:
    ret

    .globl kymo_restorer
    .hidden kymo_restorer
    .type kymo_restorer, @function
kymo_restorer:
    mov $15, %eax /* rt_sigreturn */
    syscall
    ud2

    .section .kymo.inject, "ax", @progbits
    .globl kymo_inject
    .hidden kymo_inject
    .type kymo_inject, @function
kymo_inject:
    CALL6
    ret

#elif defined(__aarch64__)

    .text
    .globl _start
    .type _start, %function
_start:
    mov x29, #0
    mov x30, #0
    mov x0, sp
    bl actor_begin
    brk #1

    .macro CALL6 /* x0: nr, x1: uint64_t[6] */
    mov x8, x0
    mov x9, x1
    ldp x0, x1, [x9]
    ldp x2, x3, [x9, #16]
    ldp x4, x5, [x9, #32]
    svc #0
    .endm

    .globl kymo_call
    .hidden kymo_call
    .type kymo_call, %function
kymo_call:
    CALL6
    ret

    .globl kymo_spawn
    .hidden kymo_spawn
    .type kymo_spawn, %function
kymo_spawn:
    mov x12, x2
    mov x13, x3
    mov x14, x4
    CALL6
    cbnz x0, 1f
    mov sp, x12
    mov x29, #0
    mov x30, #0
    mov x0, x14
    blr x13
    brk #1
1:  ret

    .globl kymo_switch
    .hidden kymo_switch
    .type kymo_switch, %function
kymo_switch:
    mov sp, x0
    mov x29, #0
    mov x30, #0
    mov x0, x2
    blr x1
    brk #1

    .globl kymo_handler
    .hidden kymo_handler
    .type kymo_handler, %function
kymo_handler:
    ret

    .globl kymo_restorer
    .hidden kymo_restorer
    .type kymo_restorer, %function
kymo_restorer:
    mov x8, #139 /* rt_sigreturn */
    svc #0
    brk #1

    .section .kymo.inject, "ax", %progbits
    .globl kymo_inject
    .hidden kymo_inject
    .type kymo_inject, %function
kymo_inject:
    CALL6
    ret

#else
#error "the stage knows x86-64 and arm64"
#endif

    .section .note.GNU-stack, "", %progbits
