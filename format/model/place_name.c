/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/place_name.h"

#include <string.h>

#include "format/base/size.h"

#define HASH_DIGITS 64u /* of an image's or container's id */
#define HASH_SHOWN 12u
#define POD_DIGITS_MIN 8u

/* A piece of a path, borrowed. */
struct piece {
    const char *s;
    size_t n;
};

static int ends(struct piece p, const char *tail)
{
    const size_t n = strlen(tail);
    return p.n >= n && memcmp(p.s + p.n - n, tail, n) == 0;
}

static int begins(struct piece p, const char *head)
{
    const size_t n = strlen(head);
    return p.n >= n && memcmp(p.s, head, n) == 0;
}

static int is(struct piece p, const char *word)
{
    return p.n == strlen(word) && memcmp(p.s, word, p.n) == 0;
}

static struct piece without(struct piece p, const char *head, const char *tail)
{
    const size_t h = strlen(head), t = strlen(tail);
    return (struct piece){p.s + h, p.n - h - t};
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static int is_hash(struct piece p)
{
    if (p.n != HASH_DIGITS)
        return 0;
    for (size_t i = 0; i < p.n; i++)
        if (!is_hex(p.s[i]))
            return 0;
    return 1;
}

/* Digits of a UID with its dashes, which systemd's names of slices have as underscores. */
static int is_uid(struct piece p)
{
    if (p.n < POD_DIGITS_MIN || p.n >= KYMO_PLACE_NAME_MAX)
        return 0;
    for (size_t i = 0; i < p.n; i++)
        if (!is_hex(p.s[i]) && p.s[i] != '-' && p.s[i] != '_')
            return 0;
    return 1;
}

static void keep(struct piece p, char *out)
{
    size_t n = is_hash(p) ? HASH_SHOWN : p.n;
    if (n >= KYMO_PLACE_NAME_MAX)
        n = KYMO_PLACE_NAME_MAX - 1;
    memcpy(out, p.s, n);
    out[n] = 0;
}

/* What runtimes put around an id or a name in one component. */
static const struct {
    const char *head, *tail;
    int hash_only; /* the rest has to be a hash: others are not containers */
} shapes[] = {
    {"docker-", ".scope", 1}, {"nerdctl-", ".scope", 1}, {"cri-containerd-", ".scope", 1},
    {"crio-", ".scope", 1},   {"crio-", "", 1},          {"libpod-", ".scope", 1},
    {"libpod-", "", 1},       {"machine-", ".scope", 0}, {"systemd-nspawn@", ".service", 0},
    {"lxc.payload.", "", 0},
};

/* Parents whose children are containers, whatever they are called. */
static const char *const parents[] = {"docker",  "lxc",  "lxc.payload", "k8s.io",
                                      "default", "moby", "ecs"};

static int take_shape(struct piece p, char *out)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(shapes); i++) {
        if (!begins(p, shapes[i].head) || !ends(p, shapes[i].tail) ||
            p.n <= strlen(shapes[i].head) + strlen(shapes[i].tail))
            continue;
        const struct piece id = without(p, shapes[i].head, shapes[i].tail);
        if (shapes[i].hash_only && !is_hash(id))
            continue;
        keep(id, out);
        return 1;
    }
    return 0;
}

static int is_parent(struct piece p)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(parents); i++)
        if (is(p, parents[i]))
            return 1;
    return 0;
}

/* The next component; 0 past the last. */
static int next_piece(const char *path, size_t n, size_t *at, struct piece *p)
{
    while (*at < n && path[*at] == '/')
        ++*at;
    p->s = path + *at;
    while (*at < n && path[*at] != '/')
        ++*at;
    p->n = (size_t)(path + *at - p->s);
    return p->n > 0;
}

void kymo_container_name(const char *path, size_t n, char *out)
{
    struct piece p, above = {"", 0};
    size_t at = 0;
    memcpy(out, KYMO_PLACE_UNKNOWN, sizeof(KYMO_PLACE_UNKNOWN));
    for (size_t depth = 0; next_piece(path, n, &at, &p); depth++, above = p)
        if (!take_shape(p, out) && (is_hash(p) || (depth == 1 && is_parent(above))))
            keep(p, out);
}

/* podUID, podUID.slice or kubepods-CLASS-podUID.slice. */
static int take_pod(struct piece p, char *out)
{
    if (ends(p, ".slice"))
        p.n -= 6;
    if (begins(p, "kubepods")) {
        size_t i = p.n;
        while (i > 0 && !(p.n - i >= 4 && memcmp(p.s + i, "-pod", 4) == 0))
            i--;
        if (i == 0)
            return 0;
        p = (struct piece){p.s + i + 1, p.n - i - 1};
    }
    if (!begins(p, "pod"))
        return 0;
    const struct piece uid = without(p, "pod", "");
    if (!is_uid(uid))
        return 0;
    keep(uid, out);
    for (char *c = out; *c; c++)
        if (*c == '_')
            *c = '-';
    return 1;
}

void kymo_pod_name(const char *path, size_t n, char *out)
{
    struct piece p;
    size_t at = 0;
    memcpy(out, KYMO_PLACE_UNKNOWN, sizeof(KYMO_PLACE_UNKNOWN));
    while (next_piece(path, n, &at, &p))
        take_pod(p, out);
}
