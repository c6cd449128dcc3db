/* SPDX-License-Identifier: Apache-2.0
 * source  RFC 791, 8200, 4302, 9293, 768, 826; IEEE 802.1Q; RFC 2516; tcpdump.org's list of link types
 */
#include "format/import/packet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define VLANS_MAX 8
#define EXTENSIONS_MAX 16

enum { ETH_IPV4 = 0x0800, ETH_ARP = 0x0806, ETH_IPV6 = 0x86dd, ETH_PPPOE = 0x8864 };
enum {
    NEXT_HOP = 0,
    NEXT_TCP = 6,
    NEXT_UDP = 17,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_AH = 51,
    NEXT_OPTIONS = 60,
    NEXT_SCTP = 132,
    NEXT_UDPLITE = 136
};

/* What is captured and not yet looked at; on_wire counts down from the packet's own length. */
struct view {
    const uint8_t *p;
    uint32_t left, on_wire;
};

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

/* n bytes are there to be read; otherwise the packet is marked: cut, or too short for its header. */
static bool has(struct kymo_import_packet *p, const struct view *v, uint32_t n)
{
    if (n <= v->left)
        return true;
    p->flags |= n <= v->on_wire ? KYMO_PACKET_CUT : KYMO_PACKET_MALFORMED;
    return false;
}

static void move(struct view *v, uint32_t n)
{
    v->p += n;
    v->left -= n;
    v->on_wire -= n < v->on_wire ? n : v->on_wire;
}

/* What the IP header says is the length: padding behind it is none of the packet. */
static void shorten(struct view *v, uint32_t n)
{
    v->left = n < v->left ? n : v->left;
    v->on_wire = n;
}

static struct kymo_text address(int family, const uint8_t *raw, char *text)
{
    if (!inet_ntop(family, raw, text, KYMO_PACKET_ADDR_BYTES))
        text[0] = '\0';
    return kymo_text_of(text, strlen(text));
}

/* ---- above IP --------------------------------------------------------------------------------------- */

static void set_payload(struct kymo_import_packet *p, const struct view *v)
{
    p->has_payload = 1;
    p->payload = v->on_wire;
}

static void parse_tcp(struct kymo_import_packet *p, struct view v)
{
    if (!has(p, &v, 14))
        return;
    p->has_tcp = 1;
    p->tcp_flags = be16(v.p + 12) & 0x1ff;
    const uint32_t bytes = (uint32_t)(v.p[12] >> 4) * 4;
    if (bytes < 20 || bytes > v.on_wire) {
        p->flags |= KYMO_PACKET_MALFORMED;
        return;
    }
    p->has_payload = 1;
    p->payload = v.on_wire - bytes;
}

static void parse_l4(struct kymo_import_packet *p, struct view v)
{
    const bool ports =
        p->l4 == NEXT_TCP || p->l4 == NEXT_UDP || p->l4 == NEXT_SCTP || p->l4 == NEXT_UDPLITE;
    if (!ports) {
        set_payload(p, &v);
        return;
    }
    if (!has(p, &v, 4))
        return;
    p->has_ports = 1;
    p->sport = be16(v.p);
    p->dport = be16(v.p + 2);
    const uint32_t header = p->l4 == NEXT_SCTP ? 12 : 8;
    if (p->l4 == NEXT_TCP) {
        parse_tcp(p, v);
    } else if (v.on_wire < header) {
        p->flags |= KYMO_PACKET_MALFORMED;
    } else {
        p->has_payload = 1;
        p->payload = v.on_wire - header;
    }
}

static void parse_ipv4(struct kymo_import_packet *p, struct view v,
                       struct kymo_packet_addrs *addrs)
{
    if (!has(p, &v, 20))
        return;
    const uint32_t header = (uint32_t)(v.p[0] & 15) * 4, total = be16(v.p + 2);
    const uint32_t fragment = be16(v.p + 6);
    if (v.p[0] >> 4 != 4 || header < 20 || (total && total < header)) {
        p->flags |= KYMO_PACKET_MALFORMED;
        return;
    }
    p->has_l4 = p->has_ttl = 1;
    p->l4 = v.p[9];
    p->ttl = v.p[8];
    p->src = address(AF_INET, v.p + 12, addrs->src);
    p->dst = address(AF_INET, v.p + 16, addrs->dst);
    p->flags |= fragment & 0x2000 ? KYMO_PACKET_MORE : 0;
    p->has_frag = (fragment & 0x3fff) != 0;
    p->frag = (fragment & 0x1fff) * 8;
    if (total) { /* 0: segmented by the interface, the length is the link's */
        p->flags |= total > v.on_wire ? KYMO_PACKET_MALFORMED : 0;
        shorten(&v, total < v.on_wire ? total : v.on_wire);
    }
    if (!has(p, &v, header))
        return;
    move(&v, header);
    if (p->has_frag && p->frag)
        set_payload(p, &v);
    else
        parse_l4(p, v);
}

/* Past the extension headers: l4 is what is behind them. false: no further. */
static bool skip_extensions(struct kymo_import_packet *p, struct view *v)
{
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        const uint32_t kind = p->l4;
        if (kind != NEXT_HOP && kind != NEXT_ROUTING && kind != NEXT_FRAGMENT &&
            kind != NEXT_AH && kind != NEXT_OPTIONS)
            return true;
        if (!has(p, v, 8))
            return false;
        const uint32_t bytes = kind == NEXT_FRAGMENT ? 8
                               : kind == NEXT_AH     ? ((uint32_t)v->p[1] + 2) * 4
                                                     : ((uint32_t)v->p[1] + 1) * 8;
        if (kind == NEXT_FRAGMENT) {
            p->has_frag = 1;
            p->frag = be16(v->p + 2) & 0xfff8;
            p->flags |= v->p[3] & 1 ? KYMO_PACKET_MORE : 0;
        }
        p->l4 = v->p[0];
        if (!has(p, v, bytes))
            return false;
        move(v, bytes);
        if (p->has_frag && p->frag) { /* the other headers were in the first one */
            set_payload(p, v);
            return false;
        }
    }
    p->flags |= KYMO_PACKET_MALFORMED;
    return false;
}

static void parse_ipv6(struct kymo_import_packet *p, struct view v,
                       struct kymo_packet_addrs *addrs)
{
    if (!has(p, &v, 40))
        return;
    if (v.p[0] >> 4 != 6) {
        p->flags |= KYMO_PACKET_MALFORMED;
        return;
    }
    const uint32_t payload = be16(v.p + 4);
    p->has_l4 = p->has_ttl = 1;
    p->l4 = v.p[6];
    p->ttl = v.p[7];
    p->src = address(AF_INET6, v.p + 8, addrs->src);
    p->dst = address(AF_INET6, v.p + 24, addrs->dst);
    move(&v, 40);
    if (payload) { /* 0: a jumbogram, or segmented by the interface */
        p->flags |= payload > v.on_wire ? KYMO_PACKET_MALFORMED : 0;
        shorten(&v, payload < v.on_wire ? payload : v.on_wire);
    }
    if (skip_extensions(p, &v))
        parse_l4(p, v);
}

/* Of IPv4 over Ethernet: who asks, and for whom. */
static void parse_arp(struct kymo_import_packet *p, struct view v,
                      struct kymo_packet_addrs *addrs)
{
    if (!has(p, &v, 28) || be16(v.p + 2) != ETH_IPV4 || v.p[4] != 6 || v.p[5] != 4)
        return;
    p->src = address(AF_INET, v.p + 14, addrs->src);
    p->dst = address(AF_INET, v.p + 24, addrs->dst);
}

/* ---- below IP --------------------------------------------------------------------------------------- */

static void parse_l3(struct kymo_import_packet *p, uint32_t ethertype, struct view v,
                     struct kymo_packet_addrs *addrs)
{
    for (int i = 0; ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100; i++) {
        if (i == VLANS_MAX) {
            p->flags |= KYMO_PACKET_MALFORMED;
            return;
        }
        if (!has(p, &v, 4))
            return;
        p->vlan = p->has_vlan ? p->vlan : be16(v.p) & 0xfff;
        p->has_vlan = 1;
        ethertype = be16(v.p + 2);
        move(&v, 4);
    }
    if (ethertype == ETH_PPPOE && has(p, &v, 8)) {
        const uint32_t protocol = be16(v.p + 6);
        move(&v, 8);
        ethertype = protocol == 0x21 ? ETH_IPV4 : protocol == 0x57 ? ETH_IPV6 : ETH_PPPOE;
    }
    p->has_l3 = ethertype >= 0x600; /* below, it is a length: 802.3 */
    p->l3 = ethertype;
    if (ethertype == ETH_IPV4)
        parse_ipv4(p, v, addrs);
    else if (ethertype == ETH_IPV6)
        parse_ipv6(p, v, addrs);
    else if (ethertype == ETH_ARP)
        parse_arp(p, v, addrs);
}

/* IP at once: which, its first four bits say. */
static void parse_raw(struct kymo_import_packet *p, struct view v,
                      struct kymo_packet_addrs *addrs)
{
    if (!has(p, &v, 1))
        return;
    const uint32_t version = v.p[0] >> 4;
    if (version == 4 || version == 6)
        parse_l3(p, version == 4 ? ETH_IPV4 : ETH_IPV6, v, addrs);
    else
        p->flags |= KYMO_PACKET_MALFORMED;
}

/* BSD's loopback: an address family in the byte order of who captured, or (LOOP) the network's. */
static void parse_null(struct kymo_import_packet *p, struct view v,
                       struct kymo_packet_addrs *addrs)
{
    if (!has(p, &v, 4))
        return;
    uint32_t family = be32(v.p);
    if (family > 0xffff)
        family = (uint32_t)v.p[0] | (uint32_t)v.p[1] << 8;
    move(&v, 4);
    if (family == 2)
        parse_l3(p, ETH_IPV4, v, addrs);
    else if (family == 24 || family == 28 || family == 30)
        parse_l3(p, ETH_IPV6, v, addrs);
}

/* A header of n bytes with the ethertype at `at`. */
static void parse_fixed(struct kymo_import_packet *p, struct view v, uint32_t n, uint32_t at,
                        struct kymo_packet_addrs *addrs)
{
    if (!has(p, &v, n))
        return;
    const uint32_t ethertype = be16(v.p + at);
    move(&v, n);
    parse_l3(p, ethertype, v, addrs);
}

void kymo_packet_parse(struct kymo_import_packet *p, const uint8_t *head,
                       struct kymo_packet_addrs *addrs)
{
    const struct view v = {head, p->caplen < p->length ? p->caplen : p->length, p->length};
    switch (p->link) {
    case KYMO_LINK_ETHERNET:
        parse_fixed(p, v, 14, 12, addrs);
        break;
    case KYMO_LINK_SLL:
        parse_fixed(p, v, 16, 14, addrs);
        break;
    case KYMO_LINK_SLL2:
        parse_fixed(p, v, 20, 0, addrs);
        break;
    case KYMO_LINK_RAW:
    case KYMO_LINK_IPV4:
    case KYMO_LINK_IPV6:
        parse_raw(p, v, addrs);
        break;
    case KYMO_LINK_NULL:
    case KYMO_LINK_LOOP:
        parse_null(p, v, addrs);
        break;
    default: /* a link layer that is not known: the packet is counted all the same */
        break;
    }
}
