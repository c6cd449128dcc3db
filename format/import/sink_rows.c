/* SPDX-License-Identifier: Apache-2.0
 * What importers hand over, into the cells of a row.
 */
#include <string.h>

#include "format/import/sink.h"

static void set_text(struct kymo_rows *r, uint32_t column, uint32_t i, struct kymo_text t)
{
    if (t.p)
        kymo_rows_set_str(r, column, i, t.p, t.n);
}

static void set_if(struct kymo_rows *r, uint32_t column, uint32_t i, int has, uint64_t v)
{
    if (has)
        kymo_rows_set(r, column, i, v);
}

void kymo_sink_fill_call(struct kymo_rows *r, uint32_t i, const struct kymo_import_call *c)
{
    kymo_rows_set(r, KYMO_SYSCALL_TS, i, c->ts_ns);
    kymo_rows_set(r, KYMO_SYSCALL_CPU, i, c->cpu);
    kymo_rows_set(r, KYMO_SYSCALL_FLAGS, i, c->flags);
    if (c->dur_ns != KYMO_IMPORT_UNKNOWN)
        kymo_rows_set(r, KYMO_SYSCALL_DUR, i, c->dur_ns);
    if (c->has_ret)
        kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)c->ret);
    for (uint32_t a = 0; a < 6; a++)
        if (c->has_arg >> a & 1)
            kymo_rows_set(r, KYMO_SYSCALL_ARG0 + a, i, c->arg[a]);
    set_text(r, KYMO_SYSCALL_PATH, i, c->path);
    set_text(r, KYMO_SYSCALL_PATH2, i, c->path2);
    set_text(r, KYMO_SYSCALL_ADDR, i, c->addr);
}

void kymo_sink_fill_process(struct kymo_rows *r, uint32_t i,
                            const struct kymo_import_process *p, const struct kymo_task *t)
{
    static const char *const kind[] = {
        [KYMO_IMPORT_SNAPSHOT] = "snapshot",
        [KYMO_IMPORT_FORK] = "fork",
        [KYMO_IMPORT_EXEC] = "exec",
        [KYMO_IMPORT_EXIT] = "exit",
    };
    kymo_rows_set(r, KYMO_PROCESS_TS, i, p->ts_ns);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, i, kind[p->kind], strlen(kind[p->kind]));
    kymo_rows_set(r, KYMO_PROCESS_PID, i, t->pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, i, t->tid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, i, t->ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, i, t->start_ns);
    kymo_rows_set(r, KYMO_PROCESS_EXECSEQ, i, t->exec_seq);
    kymo_rows_set(r, KYMO_PROCESS_UID, i, t->uid);
    kymo_rows_set(r, KYMO_PROCESS_GID, i, t->gid);
    kymo_rows_set_str(r, KYMO_PROCESS_COMM, i, t->comm, strnlen(t->comm, sizeof(t->comm)));
    set_text(r, KYMO_PROCESS_EXE, i, p->exe);
    set_text(r, KYMO_PROCESS_ARGV, i, p->argv);
    if (p->has_code)
        kymo_rows_set(r, KYMO_PROCESS_CODE, i, p->code);
}

void kymo_sink_fill_packet(struct kymo_rows *r, uint32_t i, const struct kymo_import_packet *p)
{
    kymo_rows_set(r, KYMO_PACKET_TS, i, p->ts_ns);
    set_text(r, KYMO_PACKET_IFACE, i, p->iface);
    kymo_rows_set(r, KYMO_PACKET_LINK, i, p->link);
    kymo_rows_set(r, KYMO_PACKET_LENGTH, i, p->length);
    kymo_rows_set(r, KYMO_PACKET_CAPLEN, i, p->caplen);
    kymo_rows_set(r, KYMO_PACKET_FLAGS, i, p->flags);
    set_if(r, KYMO_PACKET_VLAN, i, p->has_vlan, p->vlan);
    set_if(r, KYMO_PACKET_L3, i, p->has_l3, p->l3);
    set_if(r, KYMO_PACKET_L4, i, p->has_l4, p->l4);
    set_text(r, KYMO_PACKET_SRC, i, p->src);
    set_text(r, KYMO_PACKET_DST, i, p->dst);
    set_if(r, KYMO_PACKET_SPORT, i, p->has_ports, p->sport);
    set_if(r, KYMO_PACKET_DPORT, i, p->has_ports, p->dport);
    set_if(r, KYMO_PACKET_TCPFLAGS, i, p->has_tcp, p->tcp_flags);
    set_if(r, KYMO_PACKET_TTL, i, p->has_ttl, p->ttl);
    set_if(r, KYMO_PACKET_FRAG, i, p->has_frag, p->frag);
    set_if(r, KYMO_PACKET_PAYLOAD, i, p->has_payload, p->payload);
}
