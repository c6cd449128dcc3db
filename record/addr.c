/* SPDX-License-Identifier: Apache-2.0 */
#include "record/addr.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int inet_text(const uint8_t *raw, size_t n, char *out)
{
    struct sockaddr_in a;
    char host[INET_ADDRSTRLEN];

    if (n < 8)
        return snprintf(out, ADDR_TEXT_MAX, "inet:?");
    memset(&a, 0, sizeof(a));
    memcpy(&a, raw, n < sizeof(a) ? n : sizeof(a));
    inet_ntop(AF_INET, &a.sin_addr, host, sizeof(host));
    return snprintf(out, ADDR_TEXT_MAX, "inet:%s:%u", host, ntohs(a.sin_port));
}

static int inet6_text(const uint8_t *raw, size_t n, char *out)
{
    struct sockaddr_in6 a;
    char host[INET6_ADDRSTRLEN];

    if (n < 24)
        return snprintf(out, ADDR_TEXT_MAX, "inet6:?");
    memset(&a, 0, sizeof(a));
    memcpy(&a, raw, n < sizeof(a) ? n : sizeof(a));
    inet_ntop(AF_INET6, &a.sin6_addr, host, sizeof(host));
    return snprintf(out, ADDR_TEXT_MAX, "inet6:[%s]:%u", host, ntohs(a.sin6_port));
}

/* The whole rest is the name, zeros and all, which the kernel's own list shows as @, too. Programs
 * that give the size of the struct instead of that of the name have many at its end. */
static int abstract_text(const char *name, size_t n, char *out)
{
    int at = snprintf(out, ADDR_TEXT_MAX, "unix:@");

    while (n && !name[n - 1])
        n--;
    for (size_t i = 0; i < n && at < (int)ADDR_TEXT_MAX - 1; i++)
        out[at++] = (char)(name[i] ? name[i] : '@');
    out[at] = 0;
    return at;
}

static int unix_text(const uint8_t *raw, size_t n, char *out)
{
    const size_t at = offsetof(struct sockaddr_un, sun_path);
    const char *path = (const char *)raw + at;
    const size_t left = n > at ? n - at : 0;

    if (!left)
        return snprintf(out, ADDR_TEXT_MAX, "unix:");
    if (!path[0])
        return abstract_text(path + 1, left - 1, out);
    return snprintf(out, ADDR_TEXT_MAX, "unix:%.*s", (int)strnlen(path, left), path);
}

static int netlink_text(const uint8_t *raw, size_t n, char *out)
{
    struct sockaddr_nl a = {0};

    memcpy(&a, raw, n < sizeof(a) ? n : sizeof(a));
    return snprintf(out, ADDR_TEXT_MAX, "netlink:%u", a.nl_pid);
}

size_t addr_text(const uint8_t *raw, size_t n, char out[ADDR_TEXT_MAX])
{
    uint16_t family = 0;
    int len;

    if (n < sizeof(family))
        return (size_t)snprintf(out, ADDR_TEXT_MAX, "family:?");
    memcpy(&family, raw, sizeof(family));
    switch (family) {
    case AF_INET:
        len = inet_text(raw, n, out);
        break;
    case AF_INET6:
        len = inet6_text(raw, n, out);
        break;
    case AF_UNIX:
        len = unix_text(raw, n, out);
        break;
    case AF_NETLINK:
        len = netlink_text(raw, n, out);
        break;
    default:
        len = snprintf(out, ADDR_TEXT_MAX, "family:%u", family);
    }
    return len < 0 ? 0 : (size_t)len < ADDR_TEXT_MAX ? (size_t)len : ADDR_TEXT_MAX - 1;
}
