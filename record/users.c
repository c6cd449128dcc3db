/* SPDX-License-Identifier: Apache-2.0 */
#include "record/users.h"

#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool number(const char *s, uint32_t *out)
{
    char *end;
    const unsigned long long v = strtoull(s, &end, 10);

    if (*s < '0' || *s > '9' || *end || v >= UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static void take(struct user *out, const struct passwd *p)
{
    out->uid = p->pw_uid;
    out->gid = p->pw_gid;
    snprintf(out->name, sizeof(out->name), "%s", p->pw_name);
    snprintf(out->home, sizeof(out->home), "%s", p->pw_dir ? p->pw_dir : "");
}

#if defined(KYMO_STATIC)

/* The line of /etc/passwd with this name, or with this number where name is NULL. */
static bool look_up(const char *name, uid_t uid, struct user *out)
{
    FILE *f = fopen("/etc/passwd", "re");
    const struct passwd *p = NULL;

    while (f && (p = fgetpwent(f)))
        if (name ? !strcmp(p->pw_name, name) : p->pw_uid == uid)
            break;
    if (p)
        take(out, p);
    if (f)
        fclose(f);
    return p != NULL;
}

size_t user_groups(const struct user *u, gid_t groups[USER_GROUPS_MAX])
{
    FILE *f = fopen("/etc/group", "re");
    const struct group *g;
    size_t n = 0;

    groups[n++] = u->gid;
    while (f && *u->name && (g = fgetgrent(f)))
        for (char **m = g->gr_mem; *m && n < USER_GROUPS_MAX; m++)
            if (!strcmp(*m, u->name) && g->gr_gid != u->gid)
                groups[n++] = g->gr_gid;
    if (f)
        fclose(f);
    return n;
}

#else

static bool look_up(const char *name, uid_t uid, struct user *out)
{
    const struct passwd *p = name ? getpwnam(name) : getpwuid(uid);

    if (p)
        take(out, p);
    return p != NULL;
}

size_t user_groups(const struct user *u, gid_t groups[USER_GROUPS_MAX])
{
    int n = USER_GROUPS_MAX;

    groups[0] = u->gid;
    if (!*u->name)
        return 1;
    return getgrouplist(u->name, u->gid, groups, &n) < 0 ? USER_GROUPS_MAX : (size_t)n;
}

#endif

bool user_find(const char *name, struct user *out)
{
    uint32_t n;

    if (look_up(name, 0, out))
        return true;
    if (!number(name, &n))
        return false;
    if (!look_up(NULL, n, out))
        *out = (struct user){.uid = n, .gid = n};
    return true;
}

/* Only root may say so: for everybody else the variables prove nothing. */
void user_invoking(struct user *out)
{
    const char *uid_text = getenv("SUDO_UID"), *gid_text = getenv("SUDO_GID");
    uint32_t uid, gid;

    *out = (struct user){.uid = getuid(), .gid = getgid()};
    if (getuid() == 0 && uid_text && gid_text && number(uid_text, &uid) &&
        number(gid_text, &gid))
        *out = (struct user){.uid = uid, .gid = gid};
}
