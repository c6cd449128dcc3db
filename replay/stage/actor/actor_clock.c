/* SPDX-License-Identifier: Apache-2.0
 * actor_clock.c: the time without a call: the kernel's own shared object, which every process finds mapped.
 */
#include <elf.h>

#include "replay/stage/actor/actor.h"

typedef int clock_fn(int clock, int64_t ts[2]);
static clock_fn *vdso_clock;

#if defined(__x86_64__)
#define CLOCK_NAME "__vdso_clock_gettime"
#else
#define CLOCK_NAME "__kernel_clock_gettime"
#endif
#define CLOCK_MONOTONIC_ID 1

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* How many symbols there are, which only a hash table says: the old one by its count, the new one by the end of
 * its last chain. */
static uint32_t gnu_symbols(const uint32_t *h)
{
    const uint32_t *bucket = h + 4 + 2 * h[2], *chain = bucket + h[0];
    uint32_t last = 0;

    for (uint32_t i = 0; i < h[0]; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < h[1])
        return 0;
    while (!(chain[last - h[1]] & 1))
        last++;
    return last + 1;
}

static void find_in(const char *base)
{
    const Elf64_Ehdr *e = (const void *)base;
    const Elf64_Phdr *p = (const void *)(base + e->e_phoff);
    const Elf64_Dyn *d = 0;
    const Elf64_Sym *symbol = 0;
    const char *names = 0;
    uint32_t n = 0;

    for (int i = 0; i < e->e_phnum; i++)
        if (p[i].p_type == PT_DYNAMIC)
            d = (const void *)(base + p[i].p_offset);
    for (; d && d->d_tag != DT_NULL; d++) {
        const void *at = base + d->d_un.d_ptr;
        if (d->d_tag == DT_SYMTAB)
            symbol = at;
        else if (d->d_tag == DT_STRTAB)
            names = at;
        else if (d->d_tag == DT_HASH)
            n = ((const uint32_t *)at)[1];
        else if (d->d_tag == DT_GNU_HASH && !n)
            n = gnu_symbols(at);
    }
    for (uint32_t i = 0; symbol && names && i < n; i++)
        if (symbol[i].st_shndx != SHN_UNDEF && same(names + symbol[i].st_name, CLOCK_NAME))
            *(const void **)(void *)&vdso_clock = base + symbol[i].st_value;
}

void clock_find(const uint64_t *auxv)
{
    for (; auxv[0] != AT_NULL; auxv += 2)
        if (auxv[0] == AT_SYSINFO_EHDR)
            find_in(place(auxv[1]));
}

/* The answer goes to control memory: should the object have to ask the kernel, it is a call of the stage's own. */
uint64_t clock_ns(struct self *s)
{
    int64_t *ts = s->progress->wait;

    if (!vdso_clock || vdso_clock(CLOCK_MONOTONIC_ID, ts))
        own_call(__NR_clock_gettime, CLOCK_MONOTONIC_ID, address(ts), 0, 0, 0, 0);
    return (uint64_t)ts[0] * 1000000000u + (uint64_t)ts[1];
}
