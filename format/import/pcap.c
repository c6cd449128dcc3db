/* SPDX-License-Identifier: Apache-2.0
 * pcap and pcapng through libpcap: a row a packet, headers alone.
 */
#include "format/import/packet.h"

#ifdef KYMO_HAVE_PCAP
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull

struct pcap_import {
    struct kymo_input *in;  /* borrowed */
    struct kymo_sink *sink; /* borrowed */
    pcap_t *pcap;
    uint32_t link;
    uint64_t packets, now_ns;
    kymo_status status; /* of reading, while libpcap was in between */
    struct kymo_err err;
};

/* libpcap reads a FILE; behind this one is our input, which may be a pipe, packed, or memory. */
static ssize_t read_input(void *ctx, char *to, size_t n)
{
    struct pcap_import *s = ctx;
    const uint8_t *p;
    size_t have;
    n = n < 65536 ? n : 65536;
    s->status = kymo_input_peek(s->in, n, &p, &have, &s->err);
    if (s->status) {
        errno = EIO;
        return -1;
    }
    have = have < n ? have : n;
    if (have)
        memcpy(to, p, have);
    kymo_input_skip(s->in, have);
    return (ssize_t)have;
}

#ifdef __linux__
static FILE *open_file(struct pcap_import *s)
{
    return fopencookie(s, "rb", (cookie_io_functions_t){.read = read_input});
}
#else
static int read_fun(void *ctx, char *to, int n)
{
    return (int)read_input(ctx, to, (size_t)n);
}

static FILE *open_file(struct pcap_import *s)
{
    return funopen(s, read_fun, NULL, NULL, NULL);
}
#endif

static void close_pcap(void *ctx)
{
    struct pcap_import *s = ctx;
    if (s->pcap)
        pcap_close(s->pcap);
    free(s);
}

static kymo_status failed(struct pcap_import *s, const char *why, struct kymo_err *err)
{
    if (s->status) {
        if (err)
            *err = s->err;
        return s->status;
    }
    return KYMO_FAIL(err, KYMO_ECORRUPT, kymo_input_at(s->in), "packet %llu: %s",
                     (unsigned long long)s->packets + 1, why);
}

static kymo_status begin(struct pcap_import *s, struct kymo_err *err)
{
    char why[PCAP_ERRBUF_SIZE] = "";
    FILE *f = open_file(s);
    if (!f)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    setvbuf(f, NULL, _IONBF, 0); /* so that our place in the input is libpcap's */
    s->pcap = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!s->pcap) {
        fclose(f);
        return failed(s, why, err);
    }
    const int link = pcap_datalink(s->pcap);
    s->link = link == DLT_RAW ? KYMO_LINK_RAW : (uint32_t)link;
    kymo_sink_real_time(s->sink);
    KYMO_TRY(kymo_sink_fact(s->sink, "times", "real time", err));
    KYMO_TRY(kymo_sink_fact(
        s->sink, "link",
        pcap_datalink_val_to_name(link) ? pcap_datalink_val_to_name(link) : "unknown", err));
    return kymo_sink_fact(s->sink, "unknown",
                          "interfaces, what tunnels carry, packets that the capture lost", err);
}

static kymo_status open_pcap(void **ctx, struct kymo_input *in,
                             const struct kymo_import_opts *o, struct kymo_sink *sink,
                             struct kymo_err *err)
{
    (void)o;
    struct pcap_import *s = calloc(1, sizeof(*s));
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    s->in = in;
    s->sink = sink;
    const kymo_status status = begin(s, err);
    if (status) {
        close_pcap(s);
        return status;
    }
    *ctx = s;
    return KYMO_OK;
}

static kymo_status take_packet(struct pcap_import *s, const struct pcap_pkthdr *h,
                               const uint8_t *head, struct kymo_err *err)
{
    const int64_t seconds = h->ts.tv_sec, ns = h->ts.tv_usec; /* ns, as was asked for */
    if (seconds < 0 || (uint64_t)seconds > UINT64_MAX / SECOND - 16 || ns < 0 ||
        ns >= (int64_t)(16 * SECOND))
        return failed(s, "its time is none", err);
    struct kymo_packet_addrs addrs;
    struct kymo_import_packet p = {
        .ts_ns = (uint64_t)seconds * SECOND + (uint64_t)ns,
        .length = h->len,
        .caplen = h->caplen,
        .link = s->link,
    };
    kymo_packet_parse(&p, head, &addrs);
    s->packets++;
    s->now_ns = p.ts_ns;
    return kymo_sink_packet(s->sink, &p, err);
}

static kymo_status step_pcap(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct pcap_import *s = ctx;
    struct pcap_pkthdr *h;
    const u_char *head;
    const int got = pcap_next_ex(s->pcap, &h, &head);
    *more = got == 1;
    if (got == PCAP_ERROR_BREAK)
        return KYMO_OK;
    if (got != 1)
        return failed(s, pcap_geterr(s->pcap), err);
    KYMO_TRY(take_packet(s, h, head, err));
    *now_ns = s->now_ns;
    return KYMO_OK;
}
#else
static kymo_status open_pcap(void **ctx, struct kymo_input *in,
                             const struct kymo_import_opts *o, struct kymo_sink *sink,
                             struct kymo_err *err)
{
    (void)ctx;
    (void)in;
    (void)o;
    (void)sink;
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                     "this kymo was built without libpcap, which reads pcap");
}

static kymo_status step_pcap(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    (void)ctx;
    (void)now_ns;
    (void)err;
    *more = 0;
    return KYMO_OK;
}

static void close_pcap(void *ctx)
{
    (void)ctx;
}
#endif

/* pcapng begins as scap does; which it is, the second block says: not one of scap's. */
static bool guess_pcap(const uint8_t *p, size_t n)
{
    static const uint32_t magic[] = {0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1};
    if (n < 24)
        return false;
    for (size_t i = 0; i < sizeof(magic) / sizeof(magic[0]); i++)
        if (kymo_load_u32(p) == magic[i])
            return true;
    const uint32_t order = kymo_load_u32(p + 8);
    const bool big = order == 0x4d3c2b1a;
    if (kymo_load_u32(p) != 0x0a0d0d0a || (order != 0x1a2b3c4d && !big))
        return false;
    const uint32_t bytes =
        big ? (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7]
            : kymo_load_u32(p + 4);
    if (bytes > n - 4)
        return false;
    const uint32_t next = kymo_load_u32(p + bytes);
    return (big ? next >> 24 : next) < 0x100;
}

const struct kymo_importer kymo_import_pcap = {
    .name = "pcap",
    .guess = guess_pcap,
    .open = open_pcap,
    .step = step_pcap,
    .close = close_pcap,
};
