/* SPDX-License-Identifier: Apache-2.0
 * stage_net.c: a network of one device, lo, on which every address is at home: what was recorded of peers far away
 * plays there under its own addresses.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

static int lo_up(void)
{
    struct ifreq q = {.ifr_name = "lo"};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int e = fd < 0 ? -1 : ioctl(fd, SIOCGIFFLAGS, &q);

    if (!e) {
        q.ifr_flags |= IFF_UP;
        e = ioctl(fd, SIOCSIFFLAGS, &q);
    }
    if (fd >= 0)
        close(fd);
    return e;
}

/* ip route add local 0.0.0.0/0 dev lo, or local ::/0. */
static int route_all(int family)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg r;
        struct rtattr a;
        uint32_t device;
    } q = {
        .h = {.nlmsg_len = sizeof(q),
              .nlmsg_type = RTM_NEWROUTE,
              .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
        .r = {.rtm_family = (unsigned char)family,
              .rtm_table = RT_TABLE_LOCAL,
              .rtm_protocol = RTPROT_BOOT,
              .rtm_scope = RT_SCOPE_HOST,
              .rtm_type = RTN_LOCAL},
        .a = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = RTA_OIF},
        .device = if_nametoindex("lo"),
    };
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
        char rest[256];
    } answer;
    const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    int e = fd < 0 || send(fd, &q, sizeof(q), 0) < 0 ? errno : 0;

    if (!e && recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer.h) + 4)
        e = EIO;
    if (!e)
        e = -answer.e.error;
    if (fd >= 0)
        close(fd);
    return e;
}

kymo_status inside_net(struct inside *s, struct kymo_err *err)
{
    (void)s;
    if (lo_up())
        return inside_fail(err, "cannot bring up", "lo");
    const int e = route_all(AF_INET);
    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot route all addresses to lo: %s",
                         strerror(e));
    /* A host without IPv6 recorded none either. */
    (void)route_all(AF_INET6);
    return KYMO_OK;
}
