/* SPDX-License-Identifier: Apache-2.0
 * stage_blob.S: the stage binary, carried along.
 */
    .section .rodata
    .globl kymo_stage_elf
    .globl kymo_stage_elf_bytes
    .balign 16
kymo_stage_elf:
    .incbin STAGE_ELF
1:  .balign 8
kymo_stage_elf_bytes:
    .quad 1b - kymo_stage_elf
    .section .note.GNU-stack, "", %progbits
