/* SPDX-License-Identifier: Apache-2.0
 * packet.h: what the headers of a packet say.
 */
#ifndef KYMO_IMPORT_PACKET_H
#define KYMO_IMPORT_PACKET_H

#include "format/import/import.h"

#define KYMO_PACKET_ADDR_BYTES 48u

/* Room for the addresses' texts, which the packet points into. */
struct kymo_packet_addrs {
    char src[KYMO_PACKET_ADDR_BYTES], dst[KYMO_PACKET_ADDR_BYTES];
};

/* LINKTYPE_* whose headers are known. */
enum kymo_link {
    KYMO_LINK_NULL = 0,
    KYMO_LINK_ETHERNET = 1,
    KYMO_LINK_RAW = 101,
    KYMO_LINK_LOOP = 108,
    KYMO_LINK_SLL = 113,
    KYMO_LINK_IPV4 = 228,
    KYMO_LINK_IPV6 = 229,
    KYMO_LINK_SLL2 = 276,
};

/* Fill in what the headers in head[p->caplen] tell; p->link, length and caplen are given. Outermost
 * headers only: what a tunnel carries is its payload. Reads nothing past p->caplen. */
void kymo_packet_parse(struct kymo_import_packet *p, const uint8_t *head,
                       struct kymo_packet_addrs *addrs);

#endif
