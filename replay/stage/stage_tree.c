/* SPDX-License-Identifier: Apache-2.0
 * stage_tree.c: the files that the actors find, made beneath the root. A path is resolved as if the root were all
 * there is: `..` and links, made by the plan or by actors, lead nowhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "format/base/size.h"
#include "replay/stage/stage_inside.h"

#define FILLED_BYTES_MAX 65536u /* longer files are holes, which cost nothing */
#define FILLS_MAX 1000000u

/* Lines of 32 bytes that say where they are. */
void inside_pattern(char *to, size_t n, uint64_t offset)
{
    char line[33];

    for (size_t i = 0; i < n; i += 32 - (offset + i) % 32) {
        const size_t from = (offset + i) % 32, left = n - i;
        snprintf(line, sizeof(line), "kymo replay %019llu\n",
                 (unsigned long long)((offset + i) / 32));
        memcpy(to + i, line + from, left < 32 - from ? left : 32 - from);
    }
}

static int open_in(int root, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_IN_ROOT};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* The folder of a path, open, and its last name; -1 for what has none, or for the stage's own. */
static int open_parent(int root, const char *path, const char **name)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');

    if (!slash || strlen(path) >= sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    *name = slash + 1;
    if (!**name || !strcmp(*name, ".") || !strcmp(*name, "..")) {
        errno = EINVAL;
        return -1;
    }
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = 0;
    return open_in(root, folder[0] ? folder : "/", O_PATH | O_DIRECTORY, 0);
}

static int make_file(int folder, const char *name, const struct kymo_inode *node)
{
    static char page[FILLED_BYTES_MAX];
    const int fd = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    int e = ftruncate(fd, 0);
    if (!e && node->size_bytes <= FILLED_BYTES_MAX) {
        inside_pattern(page, node->size_bytes, 0);
        e = write(fd, page, node->size_bytes) == (ssize_t)node->size_bytes ? 0 : -1;
    } else if (!e) {
        e = ftruncate(fd, (off_t)node->size_bytes);
    }
    if (!e)
        e = fchmod(fd, node->mode & 07777);
    close(fd);
    return e;
}

static int make_folder(int parent, const char *name, const struct kymo_inode *node)
{
    char fill[256];
    const uint32_t width = node->fill_bytes < 8     ? 8
                           : node->fill_bytes > 255 ? 255
                                                    : node->fill_bytes;

    if (mkdirat(parent, name, 0700) && errno != EEXIST)
        return -1;
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int e = 0;
    for (uint32_t i = 0; i < node->n_fill && i < FILLS_MAX && !e; i++) {
        char first[256];
        snprintf(fill, sizeof(fill), "%0*u", (int)width, i);
        if (i == 0) {
            memcpy(first, fill, sizeof(first));
            e = mknodat(fd, fill, S_IFREG | 0644, 0);
        } else {
            e = linkat(fd, first, fd, fill, 0);
        }
        e = e && errno == EEXIST ? 0 : e;
    }
    if (!e)
        e = fchmod(fd, node->mode & 07777);
    close(fd);
    return e;
}

static int make_socket(int folder, const char *name, const struct kymo_inode *node)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int home = open(".", O_PATH | O_CLOEXEC);
    int e = -1;

    if (fd >= 0 && home >= 0 && strlen(name) < sizeof(a.sun_path) && !fchdir(folder)) {
        memcpy(a.sun_path, name, strlen(name) + 1);
        e = bind(fd, (struct sockaddr *)&a, sizeof(a));
        if (!e)
            e = fchmodat(folder, name, node->mode & 07777, 0);
        if (fchdir(home))
            e = -1;
    }
    if (fd >= 0)
        close(fd);
    if (home >= 0)
        close(home);
    return e;
}

/* The host's own, of those that harm nobody; another's name is a file. */
static int make_device(int root, int folder, const struct kymo_inode *node, const char *path,
                       const char *name)
{
    static const char *const known[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                        "/dev/urandom"};
    struct kymo_inode file = {.mode = node->mode | 0666};
    int tree = -1, e = make_file(folder, name, &file);

    for (size_t i = 0; i < KYMO_COUNT_OF(known) && !e; i++)
        if (!strcmp(path, known[i]))
            tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return e;
    const int at = open_in(root, path, O_PATH | O_NOFOLLOW, 0);
    if (at >= 0) {
        e = move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        close(at);
    }
    close(tree);
    return e;
}

static int make_node(struct inside *s, const struct kymo_inode *node)
{
    const char *path = inside_text(s, node->path), *name;

    if (!strcmp(path, "/"))
        return 0;
    if (!strncmp(path, KYMO_STAGE_DIR, strlen(KYMO_STAGE_DIR))) {
        errno = EPERM;
        return -1;
    }
    const int folder = open_parent(s->root_fd, path, &name);
    int e = -1;
    if (folder < 0)
        return -1;
    switch (node->kind) {
    case KYMO_NODE_DIR:
        e = make_folder(folder, name, node);
        break;
    case KYMO_NODE_FILE:
        e = make_file(folder, name, node);
        break;
    case KYMO_NODE_LINK:
        e = symlinkat(inside_text(s, node->target), folder, name);
        break;
    case KYMO_NODE_FIFO:
        e = mknodat(folder, name, S_IFIFO | (node->mode & 07777), 0);
        break;
    case KYMO_NODE_SOCKET:
        e = make_socket(folder, name, node);
        break;
    case KYMO_NODE_DEVICE:
        e = make_device(s->root_fd, folder, node, path, name);
        break;
    default:
        errno = EINVAL;
        break;
    }
    close(folder);
    return e;
}

kymo_status inside_tree(struct inside *s, struct kymo_err *err)
{
    for (uint32_t i = 0; i < s->image->n_first_nodes; i++) {
        if (!make_node(s, &s->node[i]))
            continue;
        if (errno == ENOSPC || errno == EDQUOT)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "the files of this plan need more than the disk budget; --disk "
                             "gives it more");
        /* A name that this file system does not take, or that is there: the calls will find it so. */
    }
    return KYMO_OK;
}

static void remove_node(struct inside *s, const char *path)
{
    const char *name;
    const int folder = open_parent(s->root_fd, path, &name);

    if (folder < 0)
        return;
    if (unlinkat(folder, name, 0))
        unlinkat(folder, name, AT_REMOVEDIR);
    close(folder);
}

void inside_node_act(struct inside *s, const struct kymo_inode *node, uint64_t what)
{
    const char *path = inside_text(s, node->path);
    int fd = -1;

    switch (what) {
    case 0:
        if (make_node(s, node) && errno == EEXIST) {
            remove_node(s, path);
            if (make_node(s, node))
                errno = 0;
        }
        break;
    case 1:
        remove_node(s, path);
        break;
    case 2:
        fd = open_in(s->root_fd, path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW, 0);
        if (fd >= 0 && ftruncate(fd, (off_t)node->size_bytes))
            errno = 0;
        break;
    case 3:
        fd = open_in(s->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
        if (fd >= 0 && fchmod(fd, node->mode & 07777))
            errno = 0;
        break;
    default:
        break;
    }
    if (fd >= 0)
        close(fd);
}
