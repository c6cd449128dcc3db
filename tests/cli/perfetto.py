# SPDX-License-Identifier: Apache-2.0
"""perfetto.py TRACE: decode the wire format of a trace, hold it to its rules, print what is in it.

Rules: names are used after they were interned, events are on tracks that were described, and when
packets are sorted by time, stable, each thread's slices open and close one after the other.
"""
import sys
from collections import Counter


def varint(b, i):
    v = shift = 0
    while True:
        v |= (b[i] & 0x7F) << shift
        shift += 7
        i += 1
        if not b[i - 1] & 0x80:
            assert v < 1 << 64, "a varint of more than 64 bits"
            return v, i


def fields(b):
    i, out = 0, []
    while i < len(b):
        tag, i = varint(b, i)
        if tag & 7 == 0:
            v, i = varint(b, i)
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            n, i = varint(b, i)
            assert n <= len(b) - i, "a field past its message"
            v, i = b[i:i + n], i + n
        out.append((tag >> 3, v))
    return out


def one(message, field, default=None):
    got = [v for f, v in message if f == field]
    assert len(got) <= 1, f"field {field} {len(got)} times"
    return got[0] if got else default


names, notes, categories, tracks = {}, {}, {}, {}
events, clocks, count = [], [], Counter()
cleared = False
for field, packet in fields(open(sys.argv[1], "rb").read()):
    assert field == 1
    packet = fields(packet)
    assert one(packet, 10) == 1
    flags = one(packet, 13)
    cleared |= bool(flags & 1)
    assert cleared, "state is used before it was cleared"
    interned = fields(one(packet, 12, b""))
    for kind, entry in interned:
        entry = fields(entry)
        {1: categories, 2: names, 3: notes}[kind][one(entry, 1)] = one(entry, 2).decode()
    if (snapshot := one(packet, 6)) is not None:
        clocks.append({one(fields(c), 1): one(fields(c), 2) for f, c in fields(snapshot) if f == 1})
    if (track := one(packet, 60)) is not None:
        track = fields(track)
        uuid, thread, process = one(track, 1), one(track, 4), one(track, 3)
        if thread is not None:
            assert one(track, 5) in tracks, "a thread of no process"
            t = fields(thread)
            tracks[uuid] = ("thread", one(t, 1), one(t, 2), one(t, 5).decode())
        elif process is not None:
            t = fields(process)
            tracks[uuid] = ("process", one(t, 1), one(t, 6).decode())
        else:
            tracks[uuid] = (one(track, 2).decode(),)
    if (event := one(packet, 11)) is not None:
        event = fields(event)
        ts, uuid = one(packet, 8), one(event, 11)
        assert uuid in tracks, "an event on no track"
        name = names[one(event, 10)] if one(event, 10) else one(event, 23, b"").decode()
        category = categories.get(one(event, 3))
        note = {notes[one(fields(v), 1)]: one(fields(v), 6, b"").decode() or one(fields(v), 4, one(fields(v), 3))
                for f, v in event if f == 4}
        events.append((ts, uuid, one(event, 9), name, category, note))

events.sort(key=lambda e: e[0])
is_open = {}
for ts, uuid, kind, name, category, note in events:
    if kind == 1:
        assert uuid not in is_open, "a slice within a slice"
        is_open[uuid] = (ts, name)
    elif kind == 2:
        begun, name = is_open.pop(uuid)
        count["slices"] += 1
        count["slice ns"] += ts - begun
        count[f"call {name}"] += 1
    else:
        count[f"instants {category}"] += 1
        if category == "syscall":
            count[f"call {name}"] += 1
        elif category == "mark":
            print("mark", name, ts)
    for what, value in note.items():
        count[f"note {what}"] += 1
        if what in ("path", "errno"):
            count[f"{what} {value}"] += 1
assert not is_open, "slices that stay open"
count["threads"] = sum(t[0] == "thread" for t in tracks.values())
count["processes"] = sum(t[0] == "process" for t in tracks.values())
for clock in clocks:
    print("clock", clock.get(3), clock.get(6), clock.get(1))
for what in sorted(count):
    print(what, count[what])
