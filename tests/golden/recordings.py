#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""recordings.py pcap|pcapng|scap|scap2: a small recording of that format on standard output, by hand from its
description, for the tests of kymo import. recordings.py ctf FOLDER: a trace into a folder."""
import os
import struct
import sys
from socket import inet_aton, inet_pton, AF_INET6

SECOND = 1700000000


def ethernet(ethertype, payload, vlan=None):
    tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
    return b"\2\0\0\0\0\1\2\0\0\0\0\2" + tag + struct.pack(">H", ethertype) + payload


def ipv4(proto, payload, ttl=64, fragment=0, options=b""):
    words = 5 + len(options) // 4
    return struct.pack(">BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), 7, fragment, ttl, proto, 0,
                       inet_aton("10.0.0.1"), inet_aton("10.0.0.2")) + options + payload


def ipv6(proto, payload):
    return struct.pack(">IHBB16s16s", 0x60000000, len(payload), proto, 55, inet_pton(AF_INET6, "fe80::1"),
                       inet_pton(AF_INET6, "fe80::2")) + payload


def tcp(flags, payload=b""):
    return struct.pack(">HHIIHHHH", 40000, 443, 1, 0, 0x5000 | flags, 1024, 0, 0) + payload


def udp(payload=b""):
    return struct.pack(">HHHH", 5353, 53, 8 + len(payload), 0) + payload


def packets():
    """(bytes, bytes on the wire or None)"""
    whole = ethernet(0x0800, ipv4(6, tcp(2)))
    yield whole, None                                                    # SYN
    yield ethernet(0x0800, ipv4(6, tcp(0x18, b"x" * 100)), vlan=42), None  # in a VLAN
    yield ethernet(0x86dd, ipv6(17, udp(b"hello"))), None
    yield ethernet(0x86dd, ipv6(0, b"\x11\0" + b"\0" * 6 + udp())), None   # behind an extension header
    yield ethernet(0x86dd, ipv6(44, struct.pack(">BBHI", 17, 0, 8 | 1, 9) + b"y" * 16)), None
    yield ethernet(0x0800, ipv4(17, udp(b"z" * 24), fragment=0x2000)), None  # first fragment
    yield ethernet(0x0800, ipv4(17, b"z" * 24, fragment=4)), None          # a later one
    yield whole[:40], len(whole)                                         # cut in the TCP header
    yield whole[:20], len(whole)                                         # cut in the IP header
    yield ethernet(0x0800, ipv4(6, tcp(1), options=b"\1\1\1\0")), None
    yield ethernet(0x0806, struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, b"\2\0\0\0\0\2", inet_aton("10.0.0.1"),
                                       b"\0" * 6, inet_aton("10.0.0.9"))), None
    yield ethernet(0x0800, b"\x43" + b"\0" * 30), None                     # a header of three words
    yield b"\1", None


def pcap():
    out = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
    for i, (p, wire) in enumerate(packets()):
        out += struct.pack("<IIII", SECOND, 1000 * i, len(p), wire or len(p)) + p
    return out


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    n = len(body) + 12
    return struct.pack("<II", kind, n) + body + struct.pack("<I", n)


def section(minor):
    return block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, minor, -1))


def pcapng():
    out = section(0) + block(1, struct.pack("<HHI", 1, 0, 65535))
    for i, (p, wire) in enumerate(packets()):
        us = SECOND * 1000000 + 1000 * i
        out += block(6, struct.pack("<IIIII", 0, us >> 32, us & 0xffffffff, len(p), wire or len(p)) + p)
    return out


def scap(version):
    def text(s):
        return struct.pack("<H", len(s)) + s

    def process(tid, pid, ppid, comm):
        body = struct.pack("<QQQQQ", tid, pid, ppid, 1, 1) + text(comm) + text(comm) + text(b"/bin/" + comm)
        body += text(b"-v\0two words\0") + text(b"/") + struct.pack("<QIIIIIIQQ", 1024, 0, 33, 34, 1, 1, 0, 0, 0)
        body += text(b"") + struct.pack("<QQ", tid, pid) + text(b"") + text(b"/")
        return struct.pack("<I", len(body) + 4) + body

    def event(us, tid, kind, *params):
        body = b"".join(struct.pack("<H", len(p)) for p in params) + b"".join(params)
        count = struct.pack("<I", len(params)) if version == 2 else b""
        head = struct.pack("<QQIH", SECOND * 10**9 + us * 1000, tid, 22 + len(count) + len(body), kind)
        return block(0x216 if version == 2 else 0x204, struct.pack("<H", 1) + head + count + body)

    u16, u32, i64 = (lambda v: struct.pack("<H", v)), (lambda v: struct.pack("<I", v)), (lambda v: struct.pack("<q", v))
    path = b"/etc/passwd\0"
    out = section(2 if version == 2 else 0)
    out += block(0x201, struct.pack("<IQQ", 4, 1 << 30, 1 << 22) + b"host-a".ljust(128, b"\0"))
    out += block(0x215, process(70, 70, 1, b"app") + process(71, 70, 1, b"app"))
    out += event(0, 70, 306, i64(-100), path, u32(1), u32(0))
    out += event(5, 71, 6, i64(3), u32(4096))                            # a thread, meanwhile
    out += event(9, 70, 307, i64(-2), i64(-100), path, u32(1), u32(0), u32(0))
    out += event(10, 70, 234, b"\0" * 8, b"\0" * 8)                       # procinfo: sysdig's own
    out += event(12, 71, 7, i64(812), b"root:x:0")
    out += event(20, 70, 22, i64(4))
    out += event(29, 70, 23, i64(0), b"\2" + inet_aton("10.0.0.1") + u16(40000) + inet_aton("10.0.0.2") + u16(443))
    out += event(30, 70, 152, i64(71), *[b"\0" * 8] * 5)                  # switch
    out += event(31, 70, 0, u16(1), u16(39)) + event(32, 70, 1, u16(1))   # getpid by its number
    out += event(40, 71, 0, u16(2), u16(60)) + event(41, 71, 186, i64(0))  # exit, procexit
    out += event(50, 72, 5, i64(0))                                      # an exit without its entry
    out += event(60, 70, 4, i64(3))                                      # an entry without its exit
    return out


METADATA = """/* CTF 1.8 */
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 32; align = 8; signed = true; } := int32_t;
typealias integer { size = 64; align = 8; signed = true; } := int64_t;
clock { name = c; freq = 1000000000; offset_s = 1700000000; };
typealias integer { size = 64; align = 8; signed = false; map = clock.c.value; } := time_t;
trace { major = 1; minor = 8; byte_order = le; packet.header := struct { uint32_t magic; uint32_t stream_id; }; };
stream {
    id = 0;
    packet.context := struct { uint64_t content_size; uint64_t packet_size; uint32_t cpu_id; };
    event.header := struct { uint32_t id; time_t timestamp; };
    event.context := struct { int32_t pid; int32_t tid; string procname; };
};
event { name = "syscall_entry_openat"; id = 0; stream_id = 0; fields := struct { int32_t dfd; string filename; }; };
event { name = "syscall_exit_openat"; id = 1; stream_id = 0; fields := struct { int64_t ret; }; };
event { name = "sched_switch"; id = 2; stream_id = 0; fields := struct { int32_t next_tid; }; };
event { name = "sched_process_exit"; id = 3; stream_id = 0; fields := struct { string comm; int32_t tid; }; };
"""


def ctf(folder):
    def event(kind, ns, tid, body):
        return struct.pack("<IQii", kind, ns, 70, tid) + b"app\0" + body

    body = event(0, 1000, 71, struct.pack("<i", -100) + b"/etc/passwd\0") + event(2, 1500, 71, struct.pack("<i", 5))
    body += event(1, 3000, 71, struct.pack("<q", -13)) + event(3, 4000, 71, b"app\0" + struct.pack("<i", 71))
    bits = 8 * (8 + 20 + len(body))
    os.makedirs(folder)
    with open(os.path.join(folder, "metadata"), "w") as out:
        out.write(METADATA)
    with open(os.path.join(folder, "stream"), "wb") as out:
        out.write(struct.pack("<IIQQI", 0xc1fc1fc1, 0, bits, bits, 1) + body)


if __name__ == "__main__":
    if sys.argv[1] == "ctf":
        ctf(sys.argv[2])
        sys.exit()
    made = {"pcap": pcap, "pcapng": pcapng, "scap": lambda: scap(1), "scap2": lambda: scap(2)}
    sys.stdout.buffer.write(made[sys.argv[1]]())
