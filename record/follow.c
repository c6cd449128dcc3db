/* SPDX-License-Identifier: Apache-2.0 */
#include "record/follow.h"

#include <ctype.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/base/size.h"
#include "record/host.h"

#define ID_DIGITS_MIN 6u /* of an id that was cut */
#define ID_DIGITS 64u
#define STATE_BYTES_MAX (1u << 20)

/* ---- names of containers ---------------------------------------------------------------------- */

static size_t hex_digits(const char *s)
{
    return strspn(s, "0123456789abcdef");
}

/* id[n] against what the user typed: the whole name, or the beginning of a long id. */
static bool is_id(const char *id, size_t n, const char *container)
{
    const size_t typed = strlen(container);

    if (n == typed && !memcmp(id, container, n))
        return true;
    return n == ID_DIGITS && hex_digits(id) >= n && typed >= ID_DIGITS_MIN && typed < n &&
           hex_digits(container) == typed && !memcmp(id, container, typed);
}

bool follow_names_container(const char *folder, const char *container)
{
    /* Longer ones first. What watches a container (conmon) is not in it. */
    static const char *const before[] = {"cri-containerd-", "containerd-", "nerdctl-",
                                         "docker-",         "libpod-",     "crio-",
                                         "lxc.payload.",    "machine-",    ""};
    static const char *const after[] = {".scope", ".service", ""};
    size_t n = strlen(folder);

    if (!strncmp(folder, "libpod-conmon-", 14) || !strncmp(folder, "crio-conmon-", 12))
        return false;
    for (size_t i = 0; i < KYMO_COUNT_OF(after); i++) {
        const size_t a = strlen(after[i]);
        if (n > a && !strcmp(folder + n - a, after[i])) {
            n -= a;
            break;
        }
    }
    for (size_t i = 0; i < KYMO_COUNT_OF(before); i++) {
        const size_t b = strlen(before[i]);
        if (n > b && !strncmp(folder, before[i], b) && is_id(folder + b, n - b, container))
            return true;
    }
    return false;
}

static bool is_plain_name(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
            return false;
    return isalnum((unsigned char)*s) && strlen(s) < 128;
}

/* docker keeps a folder for each container, named by its id, and the name in a file in it. */
static bool docker_id(const char *root, const char *name, char *text, char *id, size_t cap)
{
    char path[4096], wanted[160];
    const struct dirent *e;
    bool found = false;

    snprintf(wanted, sizeof(wanted), "\"Name\":\"/%s\"", name);
    snprintf(path, sizeof(path), "%s/var/lib/docker/containers", root);
    DIR *d = opendir(path);
    while (d && !found && (e = readdir(d))) {
        if (hex_digits(e->d_name) != ID_DIGITS || e->d_name[ID_DIGITS])
            continue;
        snprintf(path, sizeof(path), "%s/var/lib/docker/containers/%.64s/config.v2.json", root,
                 e->d_name);
        found = host_read(path, text, STATE_BYTES_MAX) && strstr(text, wanted);
        if (found)
            snprintf(id, cap, "%.64s", e->d_name);
    }
    if (d)
        closedir(d);
    return found;
}

/* podman keeps a list: {"id":"...","names":["..."],...}. */
static bool podman_id(const char *root, const char *name, char *text, char *id, size_t cap)
{
    char path[4096], wanted[160];

    snprintf(path, sizeof(path),
             "%s/var/lib/containers/storage/overlay-containers/containers.json", root);
    snprintf(wanted, sizeof(wanted), "\"names\":[\"%s\"", name);
    if (!host_read(path, text, STATE_BYTES_MAX))
        return false;
    char *at = strstr(text, wanted);
    if (!at)
        return false;
    *at = 0;
    const char *key = "\"id\":\"", *last = NULL;
    for (const char *p = strstr(text, key); p; p = strstr(p + 1, key))
        last = p + strlen(key);
    if (!last || hex_digits(last) != ID_DIGITS)
        return false;
    snprintf(id, cap, "%.64s", last);
    return true;
}

bool follow_id_by_name(const char *root, const char *name, char *id, size_t cap)
{
    char *text = is_plain_name(name) ? malloc(STATE_BYTES_MAX) : NULL;
    const bool found =
        text && (docker_id(root, name, text, id, cap) || podman_id(root, name, text, id, cap));

    free(text);
    return found;
}

/* ---- looking ---------------------------------------------------------------------------------- */

struct found {
    uint64_t v2[KYMO_CGROUPS_MAX], v1[KYMO_CGROUPS_MAX];
    size_t n_v2, n_v1;
    size_t more; /* than there is room for */
    /* Of the container that is looked for: */
    char name[256]; /* the folder that holds it */
    bool several;
};

static void add(struct found *f, uint64_t id, bool v2)
{
    uint64_t *list = v2 ? f->v2 : f->v1;
    size_t *n = v2 ? &f->n_v2 : &f->n_v1;

    for (size_t i = 0; i < *n; i++)
        if (list[i] == id)
            return;
    if (*n == KYMO_CGROUPS_MAX)
        f->more++;
    else
        list[(*n)++] = id;
}

static bool below(const char *path, const char *mount)
{
    const size_t n = strlen(mount);

    return !strncmp(path, mount, n) && (path[n] == '/' || !path[n]);
}

static bool find_path(struct found *f, const char *path)
{
    const char *mount;
    bool v2, there = false, absolute = false;

    for (size_t i = 0; (mount = host_cgroup_mount(i, &v2)); i++)
        absolute |= below(path, mount);
    for (size_t i = 0; (mount = host_cgroup_mount(i, &v2)); i++) {
        if (absolute && !below(path, mount))
            continue;
        const uint64_t id = host_cgroup_inode(absolute ? "" : mount, path);
        if (!id)
            continue;
        add(f, id, v2);
        host_cgroup_remember(id, path);
        there = true;
    }
    return there;
}

/* nftw has no context argument; one thread looks. */
static struct {
    struct found *to;
    const char *container;
    bool v2, there;
} scan;

static int scan_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    const char *folder = path + at->base;

    if (type != FTW_D || !at->level || !follow_names_container(folder, scan.container))
        return FTW_CONTINUE;
    add(scan.to, (uint64_t)st->st_ino, scan.v2);
    host_cgroup_remember((uint64_t)st->st_ino, path);
    scan.there = true;
    if (*scan.to->name && strcmp(scan.to->name, folder) != 0)
        scan.to->several = true;
    snprintf(scan.to->name, sizeof(scan.to->name), "%s", folder);
    return FTW_SKIP_SUBTREE;
}

static bool find_folders(struct found *f, const char *container)
{
    const char *mount;

    scan.to = f;
    scan.container = container;
    scan.there = false;
    *f->name = 0;
    for (size_t i = 0; (mount = host_cgroup_mount(i, &scan.v2)); i++)
        nftw(mount, scan_visit, 16, FTW_PHYS | FTW_MOUNT | FTW_ACTIONRETVAL);
    return scan.there;
}

static bool find_container(struct found *f, const char *container)
{
    char id[ID_DIGITS + 1];

    return find_folders(f, container) ||
           (host_container_id(container, id, sizeof(id)) && find_folders(f, id));
}

bool follow_anything(const struct follow_opts *o)
{
    return o->n_cgroups || o->n_containers;
}

kymo_status follow_check(const struct follow_opts *o, struct kymo_err *err)
{
    struct found f = {0};

    for (size_t i = 0; i < o->n_cgroups; i++)
        if (!find_path(&f, o->cgroups[i]) && !o->wait)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "--cgroup %s: no such cgroup; with --wait it is recorded once it "
                             "is there",
                             o->cgroups[i]);
    for (size_t i = 0; i < o->n_containers; i++) {
        if (!find_container(&f, o->containers[i]) && !o->wait)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "--container %s: no such container runs; with --wait it is "
                             "recorded once it does",
                             o->containers[i]);
        if (f.several)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "--container %s: several begin so; give more of the id",
                             o->containers[i]);
    }
    if (f.more)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "more than %u cgroups are chosen",
                         KYMO_CGROUPS_MAX);
    return KYMO_OK;
}

/* What is gone stays listed while there is room: its number is not used again. */
static bool merge(uint64_t *list, const uint64_t *now, size_t n)
{
    bool added = false;

    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < KYMO_CGROUPS_MAX && list[at] && list[at] != now[i])
            at++;
        if (at < KYMO_CGROUPS_MAX && list[at] == now[i])
            continue;
        if (at == KYMO_CGROUPS_MAX) { /* the oldest has to go */
            memmove(list, list + 1, (KYMO_CGROUPS_MAX - 1) * sizeof(*list));
            at = KYMO_CGROUPS_MAX - 1;
        }
        list[at] = now[i];
        added = true;
    }
    return added;
}

bool follow_look(const struct follow_opts *o, struct kymo_live *live)
{
    struct found f = {0};

    for (size_t i = 0; i < o->n_cgroups; i++)
        find_path(&f, o->cgroups[i]);
    for (size_t i = 0; i < o->n_containers; i++)
        find_container(&f, o->containers[i]);
    const bool v2 = merge(live->cgroup_v2, f.v2, f.n_v2);
    return merge(live->cgroup_v1, f.v1, f.n_v1) || v2;
}
