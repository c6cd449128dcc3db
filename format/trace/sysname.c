/* SPDX-License-Identifier: Apache-2.0
 * The table is sysname.def; here it gets an index by number for each architecture and a hash by name,
 * both built once, on the first question.
 */
#include "format/trace/sysname.h"

#include <pthread.h>
#include <string.h>

#include "format/base/size.h"

struct call {
    struct kymo_sysinfo info;
    int16_t nr[3]; /* x86_64, i386, aarch64; -1 none */
};

static const struct call call[] = {
#define SYS(name_, n_args_, class_, path_, path2_, addr_, addrlen_, pointer_, x86_64_, i386_,  \
            aarch64_)                                                                          \
    {{#name_, n_args_, KYMO_CLASS_##class_, path_, path2_, addr_, addrlen_, pointer_},         \
     {x86_64_, i386_, aarch64_}},
#include "format/trace/sysname.def"
#undef SYS
};

#define NR_MAX 512      /* no number of the table reaches it */
#define HASH_SLOTS 1024 /* a power of two, twice the rows */
#define NO_CALL UINT16_MAX

_Static_assert(KYMO_COUNT_OF(call) * 2 <= HASH_SLOTS, "the hash by name wants room");

static const uint32_t arch_of[3] = {KYMO_ARCH_X86_64, KYMO_ARCH_I386, KYMO_ARCH_AARCH64};
static const char *const arch_name[3] = {"x86_64", "i386", "aarch64"};

static pthread_once_t built = PTHREAD_ONCE_INIT;
static uint16_t by_nr[3][NR_MAX];
static uint32_t nr_count[3];
static uint16_t by_name[HASH_SLOTS]; /* the first row of a name; the next slot when taken */

static uint32_t hash_name(const char *s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u;
    return h ^ h >> 15;
}

/* The slot of a name: where it is, or where it would go. */
static size_t slot_of(const char *name)
{
    size_t slot = hash_name(name) % HASH_SLOTS;
    while (by_name[slot] != NO_CALL && strcmp(call[by_name[slot]].info.name, name) != 0)
        slot = (slot + 1) % HASH_SLOTS;
    return slot;
}

static void build(void)
{
    memset(by_nr, 0xff, sizeof(by_nr));
    memset(by_name, 0xff, sizeof(by_name));
    for (size_t i = 0; i < KYMO_COUNT_OF(call); i++) {
        for (size_t a = 0; a < 3; a++) {
            const int nr = call[i].nr[a];
            if (nr < 0)
                continue;
            by_nr[a][nr] = (uint16_t)i;
            if ((uint32_t)nr >= nr_count[a])
                nr_count[a] = (uint32_t)nr + 1;
        }
        const size_t slot = slot_of(call[i].info.name);
        if (by_name[slot] == NO_CALL)
            by_name[slot] = (uint16_t)i;
    }
}

/* 0..2, or -1 */
static int arch_index(uint32_t arch)
{
    (void)pthread_once(&built, build);
    for (int a = 0; a < 3; a++)
        if (arch_of[a] == arch)
            return a;
    return -1;
}

const struct kymo_sysinfo *kymo_sysinfo(uint32_t arch, uint32_t nr)
{
    const int a = arch_index(arch);
    if (a < 0 || nr >= NR_MAX || by_nr[a][nr] == NO_CALL)
        return NULL;
    return &call[by_nr[a][nr]].info;
}

int kymo_sysnr(uint32_t arch, const char *name)
{
    const int a = arch_index(arch);
    if (a < 0)
        return -1;
    const uint16_t first = by_name[slot_of(name)];
    /* The row that is i386's alone, where there is one, follows the first. */
    for (size_t i = first; i < KYMO_COUNT_OF(call) && strcmp(call[i].info.name, name) == 0; i++)
        if (call[i].nr[a] >= 0)
            return call[i].nr[a];
    return -1;
}

const struct kymo_sysinfo *kymo_sysinfo_by_name(const char *name)
{
    (void)pthread_once(&built, build);
    const uint16_t i = by_name[slot_of(name)];
    return i == NO_CALL ? NULL : &call[i].info;
}

uint32_t kymo_sys_count(uint32_t arch)
{
    const int a = arch_index(arch);
    return a < 0 ? 0 : nr_count[a];
}

const char *kymo_arch_name(uint32_t arch)
{
    const int a = arch_index(arch);
    return a < 0 ? NULL : arch_name[a];
}

const char *kymo_class_name(enum kymo_class c)
{
    static const char *const name[KYMO_CLASS_COUNT] = {
        [KYMO_CLASS_OTHER] = "other",       [KYMO_CLASS_READ] = "read",
        [KYMO_CLASS_WRITE] = "write",       [KYMO_CLASS_FILE] = "file",
        [KYMO_CLASS_NET] = "net",           [KYMO_CLASS_POLL] = "poll",
        [KYMO_CLASS_MEMORY] = "memory",     [KYMO_CLASS_PROCESS] = "process",
        [KYMO_CLASS_SYNC] = "sync",         [KYMO_CLASS_SYNCFS] = "syncfs",
        [KYMO_CLASS_TIME] = "time",         [KYMO_CLASS_SIGNAL] = "signal",
        [KYMO_CLASS_SECURITY] = "security",
    };
    return (unsigned)c < KYMO_CLASS_COUNT ? name[c] : NULL;
}

/* -- errors --------------------------------------------------------------------------------- */

/* Linux's numbers (asm-generic/errno.h, the same on all three), whatever system reads the capture. */
/* clang-format off */
static const struct {
    const char *name;
    int value;
} error[] = {
    {"EPERM", 1}, {"ENOENT", 2}, {"ESRCH", 3}, {"EINTR", 4}, {"EIO", 5}, {"ENXIO", 6},
    {"E2BIG", 7}, {"ENOEXEC", 8}, {"EBADF", 9}, {"ECHILD", 10}, {"EAGAIN", 11}, {"ENOMEM", 12},
    {"EACCES", 13}, {"EFAULT", 14}, {"ENOTBLK", 15}, {"EBUSY", 16}, {"EEXIST", 17},
    {"EXDEV", 18}, {"ENODEV", 19}, {"ENOTDIR", 20}, {"EISDIR", 21}, {"EINVAL", 22},
    {"ENFILE", 23}, {"EMFILE", 24}, {"ENOTTY", 25}, {"ETXTBSY", 26}, {"EFBIG", 27},
    {"ENOSPC", 28}, {"ESPIPE", 29}, {"EROFS", 30}, {"EMLINK", 31}, {"EPIPE", 32}, {"EDOM", 33},
    {"ERANGE", 34}, {"EDEADLK", 35}, {"ENAMETOOLONG", 36}, {"ENOLCK", 37}, {"ENOSYS", 38},
    {"ENOTEMPTY", 39}, {"ELOOP", 40}, {"ENOMSG", 42}, {"EIDRM", 43}, {"ECHRNG", 44},
    {"EL2NSYNC", 45}, {"EL3HLT", 46}, {"EL3RST", 47}, {"ELNRNG", 48}, {"EUNATCH", 49},
    {"ENOCSI", 50}, {"EL2HLT", 51}, {"EBADE", 52}, {"EBADR", 53}, {"EXFULL", 54},
    {"ENOANO", 55}, {"EBADRQC", 56}, {"EBADSLT", 57}, {"EBFONT", 59}, {"ENOSTR", 60},
    {"ENODATA", 61}, {"ETIME", 62}, {"ENOSR", 63}, {"ENONET", 64}, {"ENOPKG", 65},
    {"EREMOTE", 66}, {"ENOLINK", 67}, {"EADV", 68}, {"ESRMNT", 69}, {"ECOMM", 70},
    {"EPROTO", 71}, {"EMULTIHOP", 72}, {"EDOTDOT", 73}, {"EBADMSG", 74}, {"EOVERFLOW", 75},
    {"ENOTUNIQ", 76}, {"EBADFD", 77}, {"EREMCHG", 78}, {"ELIBACC", 79}, {"ELIBBAD", 80},
    {"ELIBSCN", 81}, {"ELIBMAX", 82}, {"ELIBEXEC", 83}, {"EILSEQ", 84}, {"ERESTART", 85},
    {"ESTRPIPE", 86}, {"EUSERS", 87}, {"ENOTSOCK", 88}, {"EDESTADDRREQ", 89}, {"EMSGSIZE", 90},
    {"EPROTOTYPE", 91}, {"ENOPROTOOPT", 92}, {"EPROTONOSUPPORT", 93}, {"ESOCKTNOSUPPORT", 94},
    {"EOPNOTSUPP", 95}, {"EPFNOSUPPORT", 96}, {"EAFNOSUPPORT", 97}, {"EADDRINUSE", 98},
    {"EADDRNOTAVAIL", 99}, {"ENETDOWN", 100}, {"ENETUNREACH", 101}, {"ENETRESET", 102},
    {"ECONNABORTED", 103}, {"ECONNRESET", 104}, {"ENOBUFS", 105}, {"EISCONN", 106},
    {"ENOTCONN", 107}, {"ESHUTDOWN", 108}, {"ETOOMANYREFS", 109}, {"ETIMEDOUT", 110},
    {"ECONNREFUSED", 111}, {"EHOSTDOWN", 112}, {"EHOSTUNREACH", 113}, {"EALREADY", 114},
    {"EINPROGRESS", 115}, {"ESTALE", 116}, {"EUCLEAN", 117}, {"ENOTNAM", 118}, {"ENAVAIL", 119},
    {"EISNAM", 120}, {"EREMOTEIO", 121}, {"EDQUOT", 122}, {"ENOMEDIUM", 123},
    {"EMEDIUMTYPE", 124}, {"ECANCELED", 125}, {"ENOKEY", 126}, {"EKEYEXPIRED", 127},
    {"EKEYREVOKED", 128}, {"EKEYREJECTED", 129}, {"EOWNERDEAD", 130}, {"ENOTRECOVERABLE", 131},
    {"ERFKILL", 132}, {"EHWPOISON", 133}, {"ERESTARTSYS", 512}, {"ERESTARTNOINTR", 513},
    {"ERESTARTNOHAND", 514}, {"ENOIOCTLCMD", 515}, {"ERESTART_RESTARTBLOCK", 516},
    {"ENOTSUPP", 524}, {"EWOULDBLOCK", 11}, {"EDEADLOCK", 35}, {"ENOTSUP", 95},
};
/* clang-format on */

const char *kymo_errno_name(int e)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(error); i++)
        if (error[i].value == e)
            return error[i].name;
    return NULL;
}

int kymo_errno_value(const char *name)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(error); i++)
        if (strcmp(error[i].name, name) == 0)
            return error[i].value;
    return -1;
}
