/* SPDX-License-Identifier: Apache-2.0
 * only_caps.c: only_caps UID CAPABILITY[,CAPABILITY...] COMMAND...
 *
 * Runs COMMAND as that user with these capabilities (numbers) and no others, now and for ever. No
 * library: it is linked statically and runs where there is nothing but a kernel.
 */
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
    perror(what);
    return 4;
}

static int set_capabilities(unsigned long long set)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {
        {(unsigned)set, (unsigned)set, (unsigned)set},
        {(unsigned)(set >> 32), (unsigned)(set >> 32), (unsigned)(set >> 32)},
    };

    return (int)syscall(SYS_capset, &h, d);
}

int main(int argc, char **argv)
{
    unsigned long long keep = 0;

    if (argc < 4) {
        fprintf(stderr, "usage: only_caps UID CAPABILITY[,CAPABILITY...] COMMAND...\n");
        return 2;
    }
    const unsigned uid = (unsigned)atoi(argv[1]);
    for (char *s = strtok(argv[2], ","); s; s = strtok(NULL, ","))
        keep |= 1ull << atoi(s);
    for (int cap = 0; cap < 64; cap++)
        if (!(keep >> cap & 1))
            prctl(PR_CAPBSET_DROP, cap);
    if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setresgid(uid, uid, uid) ||
        setresuid(uid, uid, uid))
        return fail("only_caps: cannot become the user");
    if (set_capabilities(keep))
        return fail("only_caps: cannot set capabilities");
    for (int cap = 0; cap < 64; cap++)
        if (keep >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
            return fail("only_caps: cannot keep a capability");
    execvp(argv[3], argv + 3);
    return fail(argv[3]);
}
