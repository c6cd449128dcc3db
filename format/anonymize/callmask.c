/* SPDX-License-Identifier: Apache-2.0
 * callmask.c: addresses tell where ASLR put things, user ids who works here. Which argument is an
 * address is mostly seen from its size: what is 4 GiB or more, and no small negative number, is
 * one. The table names what this rule would get wrong.
 */
#include "format/anonymize/callmask.h"

#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

#define ADDRESS_64_MIN ((uint64_t)1 << 32)
#define ADDRESS_32_MIN ((uint64_t)1 << 27)
#define NEGATIVE_MIN ((uint64_t)1 << 16) /* -65535..-1 are numbers: AT_FDCWD, -errno */

/* in the order of strcmp; bit 0 is the first argument */
static const struct kymo_call_numbers calls[] = {
    {"brk", 0x01, 0, 0, 'a'},
    {"chown", 0, 0, 0x06, 0},
    {"copy_file_range", 0, 0x10, 0, 0},
    {"fadvise64", 0, 0x06, 0, 0},
    {"fallocate", 0, 0x0c, 0, 0},
    {"fchown", 0, 0, 0x06, 0},
    {"fchownat", 0, 0, 0x0c, 0},
    {"ftruncate", 0, 0x02, 0, 0},
    {"getegid", 0, 0, 0, 'i'},
    {"geteuid", 0, 0, 0, 'i'},
    {"getgid", 0, 0, 0, 'i'},
    {"getuid", 0, 0, 0, 'i'},
    {"lchown", 0, 0, 0x06, 0},
    {"lseek", 0, 0x02, 0, 0},
    {"madvise", 0x01, 0x02, 0, 0},
    {"mincore", 0x01, 0x02, 0, 0},
    {"mlock", 0x01, 0x02, 0, 0},
    {"mlock2", 0x01, 0x02, 0, 0},
    {"mmap", 0x01, 0x22, 0, 'a'},
    {"mprotect", 0x01, 0x02, 0, 0},
    {"mremap", 0x11, 0x06, 0, 'a'},
    {"msync", 0x01, 0x02, 0, 0},
    {"munlock", 0x01, 0x02, 0, 0},
    {"munmap", 0x01, 0x02, 0, 0},
    {"pread64", 0, 0x0c, 0, 0},
    {"preadv", 0, 0x18, 0, 0},
    {"preadv2", 0, 0x18, 0, 0},
    {"pwrite64", 0, 0x0c, 0, 0},
    {"pwritev", 0, 0x18, 0, 0},
    {"pwritev2", 0, 0x18, 0, 0},
    {"read", 0, 0x04, 0, 0},
    {"readahead", 0, 0x06, 0, 0},
    {"sendfile", 0, 0x08, 0, 0},
    {"setfsgid", 0, 0, 0x01, 'i'},
    {"setfsuid", 0, 0, 0x01, 'i'},
    {"setgid", 0, 0, 0x01, 0},
    {"setregid", 0, 0, 0x03, 0},
    {"setresgid", 0, 0, 0x07, 0},
    {"setresuid", 0, 0, 0x07, 0},
    {"setreuid", 0, 0, 0x03, 0},
    {"setuid", 0, 0, 0x01, 0},
    {"shmat", 0x02, 0, 0, 'a'},
    {"shmdt", 0x01, 0, 0, 0},
    {"splice", 0, 0x10, 0, 0},
    {"sync_file_range", 0, 0x06, 0, 0},
    {"truncate", 0, 0x02, 0, 0},
    {"write", 0, 0x04, 0, 0},
};
static const struct kymo_call_numbers other = {"", 0, 0, 0, 0};

const struct kymo_call_numbers *kymo_call_numbers(const char *name)
{
    size_t low = 0, high = name ? KYMO_COUNT_OF(calls) : 0;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int order = strcmp(name, calls[mid].name);
        if (!order)
            return &calls[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return &other;
}

static uint64_t mask_address(struct kymo_mask *m, uint64_t arch, uint64_t v)
{
    if (v > UINT64_MAX - NEGATIVE_MIN)
        return v;
    return kymo_mask_pointer(m, v, arch == KYMO_ARCH_I386 && v <= UINT32_MAX ? 32 : 64);
}

static int looks_like_address(uint64_t arch, uint64_t v)
{
    if (arch == KYMO_ARCH_I386)
        return v >= ADDRESS_32_MIN && (v > UINT32_MAX || v <= UINT32_MAX - NEGATIVE_MIN);
    return v >= ADDRESS_64_MIN;
}

uint64_t kymo_mask_arg(struct kymo_mask *m, const struct kymo_call_numbers *call, unsigned i,
                       uint64_t arch, uint64_t v)
{
    if (call->id >> i & 1)
        return kymo_mask_id(m, v);
    if (call->number >> i & 1)
        return v;
    if ((call->address >> i & 1) || looks_like_address(arch, v))
        return mask_address(m, arch, v);
    return v;
}

uint64_t kymo_mask_ret(struct kymo_mask *m, const struct kymo_call_numbers *call, uint64_t arch,
                       uint64_t v)
{
    if (call->ret == 'a')
        return mask_address(m, arch, v);
    return call->ret == 'i' && v <= UINT32_MAX ? kymo_mask_id(m, v) : v;
}
