/* SPDX-License-Identifier: Apache-2.0
 * stage_root.c: the file system that actors see. A tmpfs whose size is the disk budget, or the caller's
 * directory; in it /.kymo, read-only, with the stage, the plan, and the control file, which alone is writable
 * and lies in a file system of its own, so that a full disk does not stop the account.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "format/base/size.h"
#include "replay/stage/stage_inside.h"

extern const char kymo_stage_elf[];
extern const uint64_t kymo_stage_elf_bytes;

#define PAGE 4096u

/* A directory that is there on every host, and which the new root covers until it is the root. */
static const char *covered(void)
{
    static const char *const names[] = {"/tmp", "/mnt", "/var", "/usr"};
    struct stat st;

    for (size_t i = 0; i < KYMO_COUNT_OF(names); i++)
        if (!stat(names[i], &st) && S_ISDIR(st.st_mode))
            return names[i];
    return "/etc";
}

/* Processes of this namespace alone; attached nowhere, so that no path leads there. */
static int open_proc(void)
{
    const int fs = fsopen("proc", FSOPEN_CLOEXEC);
    int fd = -1;

    if (fs >= 0 && !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    if (fs >= 0)
        close(fs);
    return fd;
}

/* Where the host's own proc is hidden in part, the kernel gives no other: then it serves for the settings. */
static void write_setting(const struct inside *s, const char *name, const char *value)
{
    char path[160];
    int fd = s->proc_fd >= 0 ? openat(s->proc_fd, name, O_WRONLY | O_CLOEXEC) : -1;

    if (fd < 0) {
        snprintf(path, sizeof(path), "/proc/%s", name);
        fd = open(path, O_WRONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return;
    /* A kernel that lacks a setting lacks what it is for. */
    if (write(fd, value, strlen(value)) < 0)
        errno = 0;
    close(fd);
}

static void settings(const struct inside *s)
{
    char pages[32];

    write_setting(s, "sys/net/ipv4/ip_nonlocal_bind", "1");
    write_setting(s, "sys/net/ipv6/ip_nonlocal_bind", "1");
    write_setting(s, "sys/net/ipv4/ip_unprivileged_port_start", "0");
    write_setting(s, "sys/net/ipv4/ping_group_range", "0 2147483647");
    write_setting(s, "sys/net/ipv4/tcp_timestamps", "1");
    write_setting(s, "sys/net/core/somaxconn", "65535");
    write_setting(s, "sys/net/unix/max_dgram_qlen", "512");
    snprintf(pages, sizeof(pages), "%llu", (unsigned long long)(s->o->memory_bytes / PAGE));
    write_setting(s, "sys/kernel/shmall", pages);
    /* No namespace inside of the sandbox. */
    write_setting(s, "sys/user/max_user_namespaces", "0");
}

static kymo_status mount_root(const struct inside *s, const char *base, struct kymo_err *err)
{
    char options[128];
    const uint64_t inodes =
        4096 + s->image->node.n + s->image->call.n + s->image->act.n + s->image->object.n;

    if (s->o->root) {
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
        const int tree =
            open_tree(s->given_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        if (tree < 0 || move_mount(tree, "", AT_FDCWD, base, MOVE_MOUNT_F_EMPTY_PATH))
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "--root %s: %s", s->o->root,
                             strerror(errno));
        close(tree);
        if (mount_setattr(AT_FDCWD, base, 0, &attr, sizeof(attr)))
            return inside_fail(err, "cannot make safe", s->o->root);
        return KYMO_OK;
    }
    snprintf(options, sizeof(options), "mode=755,size=%llu,nr_inodes=%llu",
             (unsigned long long)s->o->disk_bytes, (unsigned long long)inodes);
    if (mount("kymo", base, "tmpfs", MS_NOSUID | MS_NODEV, options))
        return inside_fail(err, "cannot mount", "the root");
    return KYMO_OK;
}

static kymo_status write_file(int folder, const char *name, mode_t mode, const void *bytes,
                              size_t n, struct kymo_err *err)
{
    const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    const char *at = bytes;

    if (fd < 0)
        return inside_fail(err, "cannot make", name);
    while (n) {
        const ssize_t got = write(fd, at, n < 0x10000000 ? n : 0x10000000);
        if (got <= 0) {
            const kymo_status e = inside_fail(err, "cannot write", name);
            close(fd);
            return e;
        }
        at += got;
        n -= (size_t)got;
    }
    fchmod(fd, mode);
    close(fd);
    return KYMO_OK;
}

static kymo_status fill_stage(const struct inside *s, int folder, struct kymo_err *err)
{
    char *pattern = malloc(KYMO_PATTERN_FILE_BYTES);

    if (!pattern)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for the pattern");
    inside_pattern(pattern, KYMO_PATTERN_FILE_BYTES, 0);
    kymo_status e = write_file(folder, "pattern", 0444, pattern, KYMO_PATTERN_FILE_BYTES, err);
    free(pattern);
    if (!e)
        e = write_file(folder, "stage", 0555, kymo_stage_elf, kymo_stage_elf_bytes, err);
    if (!e)
        e = write_file(folder, "plan", 0444, s->image, s->image->bytes, err);
    if (!e)
        e = write_file(folder, "control", 0400, "", 0, err);
    return e;
}

static kymo_status map_control(struct inside *s, int folder, struct kymo_err *err)
{
    s->control_fd = openat(folder, "control", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->control_fd < 0 || ftruncate(s->control_fd, (off_t)s->control_bytes))
        return inside_fail(err, "cannot make", "the control file");
    void *p =
        mmap(NULL, s->control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->control_fd, 0);
    if (p == MAP_FAILED)
        return inside_fail(err, "cannot map", "the control file");
    s->shared = p;
    return KYMO_OK;
}

/* base/.kymo, with the control file bound into it from a file system that no path leads to then. */
static kymo_status mount_stage(struct inside *s, const char *base, struct kymo_err *err)
{
    char path[64], inner[80], file[96], control[80], options[96];

    snprintf(path, sizeof(path), "%s%s", base, KYMO_STAGE_DIR);
    snprintf(inner, sizeof(inner), "%s/inner", path);
    snprintf(control, sizeof(control), "%s%s", base, KYMO_STAGE_CONTROL);
    if (mkdir(path, 0755) && errno != EEXIST)
        return inside_fail(err, "cannot make", KYMO_STAGE_DIR);
    if (mount("kymo", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,nr_inodes=64,size=0"))
        return inside_fail(err, "cannot mount", KYMO_STAGE_DIR);
    snprintf(options, sizeof(options), "mode=700,nr_inodes=16,size=%zu",
             s->control_bytes + 16 * PAGE);
    if (mkdir(inner, 0700) || mount("kymo", inner, "tmpfs", MS_NOSUID | MS_NODEV, options))
        return inside_fail(err, "cannot mount", "the control file's place");
    const int outer_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int inner_fd = open(inner, O_PATH | O_DIRECTORY | O_CLOEXEC);
    kymo_status e = outer_fd < 0 || inner_fd < 0
                        ? inside_fail(err, "cannot open", KYMO_STAGE_DIR)
                        : fill_stage(s, outer_fd, err);
    if (!e)
        e = map_control(s, inner_fd, err);
    if (outer_fd >= 0)
        close(outer_fd);
    if (inner_fd >= 0)
        close(inner_fd);
    if (e)
        return e;
    snprintf(file, sizeof(file), "%s/control", inner);
    if (mount(file, control, NULL, MS_BIND, NULL))
        return inside_fail(err, "cannot bind", "the control file");
    if (umount2(inner, MNT_DETACH) || rmdir(inner) ||
        mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
        return inside_fail(err, "cannot close", KYMO_STAGE_DIR);
    return KYMO_OK;
}

static kymo_status become_root(const char *base, struct kymo_err *err)
{
    if (chdir(base) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
        chdir("/"))
        return inside_fail(err, "cannot change to", "the root");
    return KYMO_OK;
}

kymo_status inside_root(struct inside *s, struct kymo_err *err)
{
    const char *base = covered();

    umask(0);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return inside_fail(err, "cannot make private", "the mounts");
    s->proc_fd = open_proc();
    settings(s);
    KYMO_TRY(mount_root(s, base, err));
    KYMO_TRY(mount_stage(s, base, err));
    s->root_fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->root_fd < 0)
        return inside_fail(err, "cannot open", "the root");
    KYMO_TRY(inside_tree(s, err));
    return become_root(base, err);
}
