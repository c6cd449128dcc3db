/* SPDX-License-Identifier: Apache-2.0
 * sysname.h: (architecture, number) to a call's name, its arity and what its arguments are.
 */
#ifndef KYMO_TRACE_SYSNAME_H
#define KYMO_TRACE_SYSNAME_H

#include <stddef.h>
#include <stdint.h>

/* As in linux/audit.h, so that a capture says which machine a number is of. */
#define KYMO_ARCH_X86_64 0xC000003Eu
#define KYMO_ARCH_I386 0x40000003u
#define KYMO_ARCH_AARCH64 0xC00000B7u

enum kymo_class {
    KYMO_CLASS_OTHER = 0,
    KYMO_CLASS_READ,  /* bytes in */
    KYMO_CLASS_WRITE, /* bytes out */
    KYMO_CLASS_FILE,  /* open, close, stat, directories, links, attributes */
    KYMO_CLASS_NET,   /* sockets: set-up and options */
    KYMO_CLASS_POLL,  /* waiting for readiness: poll, select, epoll */
    KYMO_CLASS_MEMORY,
    KYMO_CLASS_PROCESS, /* life and death, identity, limits */
    KYMO_CLASS_SYNC,    /* futex, semaphores, fsync is SYNCFS */
    KYMO_CLASS_SYNCFS,  /* fsync, fdatasync, sync */
    KYMO_CLASS_TIME,
    KYMO_CLASS_SIGNAL,
    KYMO_CLASS_SECURITY, /* credentials, capabilities, namespaces, mounts, modules, bpf, ptrace */
    KYMO_CLASS_COUNT
};

struct kymo_sysinfo {
    const char *name;
    uint8_t n_args;
    uint8_t cls;                /* enum kymo_class */
    int8_t path;                /* index of the first path argument, -1 none */
    int8_t path2;               /* second, -1 none */
    int8_t addr;                /* index of a struct sockaddr * argument, -1 none */
    int8_t addrlen;             /* its length: an argument index */
    uint8_t addrlen_is_pointer; /* accept, getpeername: the length lies behind a pointer */
};

/* NULL for an unknown call. */
const struct kymo_sysinfo *kymo_sysinfo(uint32_t arch, uint32_t nr);
/* The number of a name on an architecture, -1 if there is none. */
int kymo_sysnr(uint32_t arch, const char *name);
/* The facts of a call by name alone (class, arity), NULL when unknown. */
const struct kymo_sysinfo *kymo_sysinfo_by_name(const char *name);
/* Highest number + 1 of an architecture's table. */
uint32_t kymo_sys_count(uint32_t arch);
const char *kymo_class_name(enum kymo_class c);
/* "ENOENT" for 2, also the kernel's own 512..516 ("ERESTARTSYS"); NULL when unknown. */
const char *kymo_errno_name(int e);
/* 2 for "ENOENT", -1 when unknown. */
int kymo_errno_value(const char *name);
const char *kymo_arch_name(uint32_t arch);

#endif
