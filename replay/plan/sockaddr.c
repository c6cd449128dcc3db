/* SPDX-License-Identifier: Apache-2.0
 * sockaddr.c: addresses of sockets, from the words of the recorder: "inet:127.0.0.1:6379", "inet6:[::1]:80",
 * "unix:/run/x", "unix:@name", "unix:", "netlink:0".
 */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "replay/plan/compile_own.h"

uint32_t sockaddr_port(const char *s)
{
    const char *const colon = strncmp(s, "inet", 4) ? NULL : strrchr(s, ':');
    const unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    return port <= UINT16_MAX ? (uint32_t)port : 0;
}

const char *sockaddr_path(const char *s)
{
    return strncmp(s, "unix:", 5) != 0 || !s[5] || s[5] == '@' ? NULL : s + 5;
}

static void put_inet(const char *s, struct kymo_buf *out)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)sockaddr_port(s))};
    char host[64];
    const char *const from = s + 5, *const end = strrchr(from, ':');
    if (!end || (size_t)(end - from) >= sizeof(host))
        return;
    memcpy(host, from, (size_t)(end - from));
    host[end - from] = '\0';
    if (inet_pton(AF_INET, host, &a.sin_addr) == 1)
        kymo_buf_put(out, &a, sizeof(a));
}

static void put_inet6(const char *s, struct kymo_buf *out)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6,
                             .sin6_port = htons((uint16_t)sockaddr_port(s))};
    char host[64];
    const char *const from = s + 7, *const end = strchr(from, ']');
    if (s[6] != '[' || !end || (size_t)(end - from) >= sizeof(host))
        return;
    memcpy(host, from, (size_t)(end - from));
    host[end - from] = '\0';
    if (inet_pton(AF_INET6, host, &a.sin6_addr) == 1)
        kymo_buf_put(out, &a, sizeof(a));
}

static void put_unix(const char *s, struct kymo_buf *out)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const size_t n = strlen(s + 5), room = sizeof(a.sun_path) - 1;
    memcpy(a.sun_path, s + 5, n < room ? n : room);
    size_t bytes = offsetof(struct sockaddr_un, sun_path) + (n < room ? n : room);
    if (a.sun_path[0] == '@') {
        for (size_t i = 0; i < n && i < room; i++) /* noughts are shown so */
            a.sun_path[i] = (char)(a.sun_path[i] == '@' ? 0 : a.sun_path[i]);
    } else if (n) {
        bytes++;
    }
    kymo_buf_put(out, &a, bytes);
}

void sockaddr_of_text(const char *s, struct kymo_buf *out)
{
    if (!strncmp(s, "inet:", 5))
        put_inet(s, out);
    else if (!strncmp(s, "inet6:", 6))
        put_inet6(s, out);
    else if (!strncmp(s, "unix:", 5))
        put_unix(s, out);
}
