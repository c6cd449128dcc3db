#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hold a recording against strace's view of the same run, field by field.

    truth.py numbers STRACE CAPTURE    strace -f -ttt -T -e raw=all: names, arguments, results, order, times
    truth.py texts STRACE CAPTURE      strace -f -ttt -T -v -s 4096: paths, addresses, processes

Durations: a tracer stops a call at its entry and its exit, so that its -T is longer than the call; the
recorder's is compared with it as a bound, and so is the moment of the end. What one of the two does not
see is left out by name, below.
"""
import codecs
import json
import re
import shlex
import signal
import subprocess
import sys

CHILD, UNREAD, EXECED = 2, 8, 32
SLACK_NS = 20_000_000  # between a clock's anchor and the moment it was read
bad = []


def complain(*what):
    bad.append(" ".join(str(w) for w in what))


# -- the recording ---------------------------------------------------------------------------------

def table(capture, name):
    out = subprocess.run(["kymo", "cat", "--jsonl", "-t", name, capture], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


# -- strace's text ---------------------------------------------------------------------------------

def split_args(text):
    """Arguments at their outermost commas."""
    args, depth, start, i = [], 0, 0, 0
    while i < len(text):
        c = text[i]
        if c == '"':
            i += 1
            while text[i] != '"':
                i += 2 if text[i] == "\\" else 1
        elif text.startswith("/*", i):
            i = text.index("*/", i) + 1
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and not depth:
            args.append(text[start:i].strip())
            start = i + 1
        i += 1
    last = text[start:].strip()
    return args + [last] if last else args


def number(text):
    return int(text, 8) if re.match(r"0[0-7]+$", text) else int(text, 0)


class Call:
    def __init__(self, ts, tid, name, args, result, took):
        self.ts_ns, self.tid, self.name, self.took_ns = ts, tid, name, took
        self.args = args
        self.error = None
        word = result.split()
        self.ret = None if word[0] == "?" else number(word[0])
        if len(word) > 1 and re.match(r"E[A-Z0-9_]+$", word[1]):
            self.error = word[1]


def seconds(text):
    whole, part = text.split(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def read_strace(path):
    calls, ends, open_calls = {}, {}, {}
    for line in open(path, encoding="latin-1"):
        m = re.match(r"(\d+) +(\d+\.\d+) (.*)$", line.rstrip("\n"))
        tid, ts, rest = int(m[1]), seconds(m[2]), m[3]
        if rest.startswith("+++"):
            e = re.match(r"\+\+\+ exited with (\d+) ", rest)
            k = re.match(r"\+\+\+ killed by (SIG\w+) ", rest)
            ends[tid] = int(e[1]) << 8 if e else int(signal.Signals[k[1]])
            continue
        if rest.startswith("---"):
            continue
        if rest.endswith("<unfinished ...>"):
            open_calls[tid] = (ts, rest[: -len("<unfinished ...>")])
            continue
        r = re.match(r"<\.\.\. \w+ resumed>(.*)$", rest)
        if r:
            ts, first = open_calls.pop(tid)
            rest = first + r[1]
        m = re.match(r"(\w+)\((.*)\)\s+= (.*?)(?: <(\d+\.\d+)>)?$", rest)
        if not m and rest.split("(")[0]:
            m = re.match(r"(\w+)\((.*?)()()$", rest)
        calls.setdefault(tid, []).append(
            Call(ts, tid, m[1], split_args(m[2]), m[3] or "?", seconds(m[4]) if m[4] else None))
    for tid, (ts, first) in open_calls.items():
        name, args = first.split("(", 1)
        calls.setdefault(tid, []).append(Call(ts, tid, name, split_args(args.rstrip(", ")), "?", None))
    return calls, ends


# -- calls against rows ----------------------------------------------------------------------------

# A restarted call's result, which a program never sees, by the kernel's own number.
RESTARTS = {"ERESTARTSYS": -512, "ERESTARTNOINTR": -513, "ERESTARTNOHAND": -514, "ERESTART_RESTARTBLOCK": -516}


def errno_of(name):
    import errno
    return RESTARTS.get(name) or -getattr(errno, name)


def name_of(row):
    """A call without a name has strace's name for such calls."""
    name = row.get("syscall", str(row["nr"]))
    return "syscall_%#x" % row["nr"] if name == str(row["nr"]) else name


def pairs(calls, capture):
    """(call, row) in each thread's order; a child's own return from its birth is no call of strace's."""
    rows = {}
    first = min((c[0] for c in calls.values()), key=lambda c: c.ts_ns)
    for r in table(capture, "syscall"):
        if r["tid"] in calls and r["comm"] != "strace" and not r["flags"] & CHILD:
            rows.setdefault(r["tid"], []).append(r)
    matched = []
    for tid, mine in calls.items():
        theirs = sorted(rows.get(tid, []), key=lambda r: r["ts"])
        if tid == first.tid:
            while theirs and theirs[0].get("syscall") != "execve":
                theirs.pop(0)
        names = [c.name for c in mine], [name_of(r) for r in theirs]
        if names[0] != names[1]:
            for i, (a, b) in enumerate(zip(*names)):
                if a != b:
                    complain("thread", tid, "call", i, "is", a, "and was recorded as", b)
                    break
            complain("thread", tid, "made", len(mine), "calls,", len(theirs), "were recorded")
        matched += zip(mine, theirs)
    return matched


def compare_results(call, row):
    if call.name in ("exit", "exit_group", "rt_sigreturn"):
        if "ret" in row:
            complain(call.name, "never returns, and has a result")
        return
    want = errno_of(call.error) if call.error else call.ret
    if want is None:
        return  # the process was gone before strace saw the end
    if row.get("ret") != want and row.get("ret", 0) & (2**64 - 1) != want:
        complain(call.name, call.args, "gave", call.ret, call.error, "and was recorded with", row.get("ret"))


# The kernel declares one more, the upper half of an offset, which strace leaves out on 64 bits.
WIDER = ("preadv", "pwritev", "preadv2", "pwritev2")


def compare_arguments(call, row):
    if row["flags"] & EXECED:
        if any("arg%d" % i in row for i in range(6)):
            complain(call.name, "succeeded, and has arguments of the new image")
        return
    mine = [row["arg%d" % i] for i in range(6) if "arg%d" % i in row]
    theirs = [int(a, 0) for a in call.args]
    if call.name in WIDER:
        mine = mine[: len(theirs)]
    if mine != theirs:
        complain(call.name, "has", [hex(a) for a in theirs], "recorded", [hex(a) for a in mine])


def compare_times(call, row, real_of):
    if call.took_ns is None:
        return
    if "dur" in row and row["dur"] > call.took_ns + 1000:
        complain(call.name, "took", row["dur"], "ns by the recorder,", call.took_ns, "with strace around it")
    end = row["ts"] + real_of
    if not call.ts_ns - SLACK_NS <= end <= call.ts_ns + call.took_ns + SLACK_NS:
        complain(call.name, "ended", end - call.ts_ns, "ns after its begin, and took", call.took_ns)


def compare_numbers(calls, capture):
    clock = table(capture, "clock")[0]
    n, names, failed = 0, set(), set()
    for call, row in pairs(calls, capture):
        compare_results(call, row)
        compare_arguments(call, row)
        compare_times(call, row, clock["real"] - clock["ts"])
        n += 1
        names.add(call.name)
        if call.error:
            failed.add(call.name)
    print(n, "calls,", len(names), "different ones,", len(failed), "of them refused")
    return names


# -- paths and addresses ---------------------------------------------------------------------------

# Texts that strace shows and that are no names of files: payloads, and names in other spaces.
NO_PATHS = {
    "read": {1}, "write": {1}, "pread64": {1}, "pwrite64": {1}, "sendto": {1}, "recvfrom": {1},
    "readlink": {1}, "readlinkat": {2}, "getcwd": {0}, "getrandom": {0}, "prctl": {1},
    "setxattr": {1, 2}, "lsetxattr": {1, 2}, "fsetxattr": {1, 2}, "getxattr": {1, 2}, "lgetxattr": {1, 2},
    "fgetxattr": {1, 2}, "listxattr": {1}, "llistxattr": {1}, "flistxattr": {1},
    "removexattr": {1}, "lremovexattr": {1}, "fremovexattr": {1},
    "mount": {2, 4}, "fsopen": {0}, "memfd_create": {0}, "sethostname": {0}, "setdomainname": {0},
    "add_key": {0, 1, 2}, "request_key": {0, 1, 2}, "delete_module": {0}, "finit_module": {1},
    "init_module": {2}, "arch_prctl": {1}, "lookup_dcookie": {1},
}


def text(arg):
    """A string of strace's as bytes, None for anything else."""
    m = re.match(r'"((?:[^"\\]|\\.)*)"$', arg)
    return codecs.escape_decode(m[1].encode("latin-1"))[0] if m else None


def address(arg):
    """A socket address of strace's as the recorder writes it."""
    family = re.match(r"\{sa_family=(AF_\w+)", arg)
    if not family:
        return None
    if family[1] == "AF_INET":
        m = re.search(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([\d.]+)"\)', arg)
        return "inet:%s:%s" % (m[2], m[1]) if m else "inet:?"  # cut short
    if family[1] == "AF_INET6":
        port = re.search(r"sin6_port=htons\((\d+)\)", arg)[1]
        return "inet6:[%s]:%s" % (re.search(r'inet_pton\(AF_INET6, "([^"]*)"', arg)[1], port)
    if family[1] == "AF_UNIX":
        m = re.search(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"', arg)
        if not m:
            return "unix:"
        name = codecs.escape_decode(m[2].encode("latin-1"))[0].decode()
        return "unix:" + m[1] + name.replace("\0", "@")
    if family[1] == "AF_NETLINK":
        return "netlink:" + re.search(r"nl_pid=(\d+)", arg)[1]
    return "family:0" if family[1] == "AF_UNSPEC" else family[1]


def escaped(row, name):
    return row[name].encode("utf-8", "surrogateescape") if name in row else None


def compare_texts_of(call, row):
    if row["flags"] & EXECED:
        return 0
    paths = [t for i, a in enumerate(call.args)
             if (t := text(a)) is not None and i not in NO_PATHS.get(call.name, ())]
    mine = [p for p in (escaped(row, "path"), escaped(row, "path2")) if p is not None]
    if mine != paths:
        complain(call.name, call.args, "names", paths, "recorded", mine)
    addresses = [address(a) for a in call.args if a.startswith("{sa_family=")]
    if not addresses and (call.name in ("connect", "bind") and not call.args[1].startswith("{")):
        return len(paths)  # cut short: strace shows bytes
    if ([row["addr"]] if "addr" in row else []) != addresses:
        complain(call.name, call.args, "is to", addresses, "recorded", row.get("addr"))
    return len(paths) + len(addresses)


def compare_texts(calls, capture):
    n = 0
    for call, row in pairs(calls, capture):
        compare_results(call, row)
        n += compare_texts_of(call, row)
    print(n, "paths and addresses")
    return n


# -- processes -------------------------------------------------------------------------------------

def compare_births(calls, rows):
    leaders = {r["tid"]: r["pid"] for r in rows}
    n = 0
    for tid, made in calls.items():
        for call in made:
            if call.name not in ("clone", "clone3", "fork", "vfork") or not call.ret or call.ret < 0:
                continue
            fork = [r for r in rows if r["kind"] == "fork" and r["tid"] == call.ret]
            if len(fork) != 1:
                complain(call.name, "made", call.ret, "and has", len(fork), "rows")
                continue
            is_thread = "CLONE_THREAD" in " ".join(call.args)
            pid = leaders[tid]
            want = {"pid": pid if is_thread else call.ret}
            if not is_thread:
                want["ppid"] = pid
            for key, value in want.items():
                if fork[0][key] != value:
                    complain(call.name, "made", call.ret, "with", key, value, "recorded", fork[0][key])
            n += 1
    return n


def compare_execs(calls, rows):
    n = 0
    for tid, made in calls.items():
        rest = [r for r in rows if r["kind"] == "exec" and r["tid"] == tid and r["comm"] != "strace"]
        for call in made:
            if call.name not in ("execve", "execveat") or call.ret != 0:
                continue
            row = rest.pop(0)
            path = text(call.args[0]).decode()
            argv = [text(a).decode() for a in split_args(call.args[1][1:-1])]
            if shlex.split(row["argv"]) != argv:
                complain("exec of", argv, "recorded", row["argv"])
            if path != "/proc/self/exe" and row["exe"] != path:
                complain("exec of", path, "recorded", row["exe"])
            n += 1
        if rest:
            complain("thread", tid, "has", len(rest), "execs too many")
    return n


def compare_ends(ends, rows):
    for tid, code in ends.items():
        row = [r for r in rows if r["kind"] == "exit" and r["tid"] == tid]
        if len(row) != 1:
            complain("thread", tid, "ended once, and has", len(row), "rows")
        elif row[0]["code"] != code:
            complain("thread", tid, "ended with", code, "recorded", row[0]["code"])
    return len(ends)


def compare_processes(calls, ends, capture):
    rows = table(capture, "process")
    print(compare_births(calls, rows), "births,", compare_execs(calls, rows), "execs,",
          compare_ends(ends, rows), "ends")


def main():
    what, trace, capture = sys.argv[1:4]
    calls, ends = read_strace(trace)
    if what == "numbers":
        names = compare_numbers(calls, capture)
        if len(names) < 120:
            complain("only", len(names), "different calls were compared")
    else:
        if compare_texts(calls, capture) < 100:
            complain("too few paths and addresses to say anything")
        compare_processes(calls, ends, capture)
    for line in bad:
        print("DIFFERS:", line)
    return 1 if bad else 0


sys.exit(main())
