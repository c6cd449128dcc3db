/* SPDX-License-Identifier: Apache-2.0
 * stage_blob.S: the stage binary, carried along.
 */
    .section .rodata
    .globl kymo_stage_elf
    .globl kymo_stage_elf_end
    .balign 16
kymo_stage_elf:
    .incbin STAGE_ELF
kymo_stage_elf_end:
    .section .note.GNU-stack, "", %progbits
