#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/vm/inside.sh: the recorder's end-to-end tests on another kernel, as process 1 of a machine that holds busybox,
# kymo and the programs of these tests and nothing else. TAP goes to the second serial line, where tests/vm/run.sh
# reads it. POSIX sh, as busybox has it.

# ---- the machine ------------------------------------------------------------------------------------------------

export PATH=/bin:/kymo/bin LC_ALL=C TZ=UTC
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up 2>/dev/null || ifconfig lo up
exec 3>/dev/ttyS1
chmod 1777 /tmp
cd /tmp || poweroff -f

# ---- what the tests are written with ----------------------------------------------------------------------------

n=0
# NAME FUNCTION: one test, in a subshell of its own; what it says is told when it fails. Status 77: it cannot run here.
t() {
    n=$((n + 1)) from=$(cut -d. -f1 /proc/uptime)
    mkdir -p "/tmp/t$n"
    (cd "/tmp/t$n" && set -e && $2) >/tmp/said 2>&1 &
    wait $!
    case $? in
    0) echo "ok $n - $1" >&3 ;;
    77) echo "ok $n - $1 # skip $(tail -n 1 /tmp/said)" >&3 ;;
    *)
        echo "not ok $n - $1" >&3
        tail -n 25 /tmp/said | sed 's/^/# /' >&3
        ;;
    esac
    echo "# $(($(cut -d. -f1 /proc/uptime) - from)) s" >&3
    rm -rf "/tmp/t$n"
}
# Say what was not so; unlike a bare [ ] it names itself.
holds() {
    if [ "$@" ]; then return 0; fi
    echo "does not hold: [ $* ]"
    exit 1
}
record() { timeout 60 kymo record --no-progress -q "$@"; }
# In the background, its pid in $recorder, once it records.
begin() { # FILE OPTION...
    begun=$1
    shift
    kymo record --no-progress -q -w "$begun" "$@" &
    recorder=$!
    await "/run/kymo/record-$recorder.sock"
}
await() {
    i=0
    while [ ! -S "$1" ]; do
        i=$((i + 1))
        if [ $i -gt 400 ] || ! kill -0 $recorder 2>/dev/null; then echo "the recorder does not begin"; exit 1; fi
        sleep 0.05
    done
}
end() {
    kill -INT $recorder
    wait $recorder || { echo "the recorder ended with status $?"; exit 1; }
    kymo check "$begun"
}
rows() { kymo cat --jsonl "$@"; }
count() { kymo stat --by syscall --show count --csv -f "$1" "$2" | awk -F, 'NR > 1 { n += $NF } END { print n + 0 }'; }
# All that was dropped of the calls, whatever the reason.
dropped() {
    sum=0
    for class in ring nested queue quota; do sum=$((sum + $(loss dropped_$class syscall "$1"))); done
    echo $sum
}
loss() { rows -t loss -f "source == \"$2\"" "$3" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'; }

# ---- the tests --------------------------------------------------------------------------------------------------

doctor() {
    kymo doctor && return
    # Why: the end of what the verifier says.
    KYMO_LIBBPF=1 kymo record -w x.kymo -d 1s 2>&1 | tail -n 15
    return 1
}
all_calls() {
    record -w c.kymo -- calls count 5000
    kymo check c.kymo
    holds "$(count 'syscall == getppid' c.kymo)" = 5000
    holds "$(count 'syscall == read && ret == 8 && arg2 == 8' c.kymo)" = 5000
    holds "$(count 'syscall == write && ret == 8 && arg2 == 8' c.kymo)" = 5000
    # An entry was seen of each, and of none did the duration come out as nonsense.
    holds "$(count 'syscall == getppid && dur > 0 && dur < 10000000000' c.kymo)" = 5000
}
counted() {
    record -w n.kymo --level counts -- calls count 5000
    kymo check n.kymo
    for call in getppid read write; do
        counted=$(rows -t count -f "comm == calls && syscall == $call" n.kymo | grep -o '"calls":[0-9]*' | awk -F: '{ n += $2 } END { print n + 0 }')
        echo "$call: $counted"
        # The start of the program may read too.
        holds "$counted" -ge 5000
        holds "$counted" -le 5002
    done
}
two_busy() {
    begin l.kymo
    calls loop 1 >n1 & one=$!
    calls loop 1 >n2
    wait $one
    end
    truth=$(($(cat n1) + $(cat n2)))
    stored=$(count 'syscall == getppid && comm == calls' l.kymo)
    dropped=$(dropped l.kymo)
    echo "made $truth, stored $stored, dropped $dropped"
    holds "$truth" -gt 1000
    holds "$stored" -le "$truth"
    if [ $dropped = 0 ]; then holds "$stored" = "$truth"; fi
}
account() { starve.sh /bin/calls 2 . 4; }
stopped() {
    begin s.kymo --kernel-ring 2M --comm calls --syscalls getppid,write
    kill -STOP $recorder
    # On one CPU, whose ring holds fewer.
    taskset 1 calls count 30000
    kill -CONT $recorder
    end
    stored=$(count 'cpu == 0' s.kymo) dropped=$(dropped s.kymo)
    echo "stored $stored, dropped $dropped"
    holds "$dropped" -gt 1000
    holds $((stored + dropped)) = 60000
}
killed() {
    begin k.kymo --comm calls
    calls count 500
    sleep 1.6
    kill -9 $recorder
    wait $recorder || true
    kymo check k.kymo >said 2>&1 && status=0 || status=$?
    cat said
    holds $status -le 1
    grep -q -e torn -e 'did not finish' said
    kymo info k.kymo >/dev/null
    # What was made a second ago is there.
    holds "$(count 'syscall == getppid' k.kymo)" = 500
}
# One recording of every odd case, for the three tests of it.
odd=/tmp/odd.kymo
processes() {
    record -w "$odd" -- /bin/calls odd
    rows -t process "$odd" >all
    grep '"kind":"exec"' all | grep -q "\"argv\":\"/bin/calls count 1 'with blank'\""
    holds "$(grep -c '"kind":"fork"' all)" -ge 2
    holds "$(grep -c '"kind":"exit"' all)" -ge 3
    rows -t syscall -f 'comm == "named-thread" && syscall == getppid' "$odd" | grep -q .
    holds "$(count 'flags == 2 && ret == 0' "$odd")" -ge 2
    holds "$(count 'syscall == execve && flags == 32' "$odd")" = 2
    holds "$(count 'syscall == exit_group && flags == 1' "$odd")" = 2
}
strings() {
    rows -t syscall "$odd" >all
    grep '"addr":"inet:127.0.0.1:1"' all | grep -q '"ret":-111,'
    grep '"addr":"unix:/nonexistent/kymo.sock"' all | grep -q '"ret":-2,'
    grep -e '"path":"/nonexistent/kymo-stat"' all | grep -q '"ret":-2,'
    grep '"path":"/nonexistent/kymo-from"' all | grep -q '"path2":"/nonexistent/kymo-to"'
    holds "$(count 'syscall == openat && ret == -14 && flags == 8' "$odd")" = 1
}
compat() {
    rows -t syscall -f 'flags == 64' "$odd" >compat
    if [ ! -s compat ]; then echo "this kernel makes no 32-bit calls"; exit 77; fi
    grep '"nr":20' compat | grep -q '"syscall":"getpid"'
}
unfinished_and_marked() {
    calls block & blocked=$!
    sleep 0.3
    begin b.kymo -p $blocked
    kymo mark first --to $recorder
    kill -STOP $blocked
    kymo mark span --begin --to $recorder
    kill -CONT $blocked
    kymo mark span --end --to $recorder
    sleep 0.4
    end
    kill -9 $blocked
    rows -t syscall -f 'flags == 4' b.kymo | grep -q '"syscall":"pause"'
    holds "$(rows -t mark b.kymo | wc -l)" = 3
}
filters() {
    calls block & other=$!
    record -w f.kymo --comm calls --syscalls getppid,@write -- calls count 100
    holds "$(count 'syscall == getppid' f.kymo)" = 100
    holds "$(count 'syscall == write' f.kymo)" = 100
    holds "$(count 'syscall == read' f.kymo)" = 0
    holds "$(count "pid == $other" f.kymo)" = 0
    kill $other
    begin u.kymo -u 65534
    only_caps 65534 40 calls count 10
    calls count 30
    end
    holds "$(count 'syscall == getppid' u.kymo)" = 10
}
cgroups() {
    mkdir -p /sys/fs/cgroup/vm/below
    sh -c 'echo $$ >/sys/fs/cgroup/vm/below/cgroup.procs && while [ ! -e go ]; do sleep 0.1; done; exec calls count 50' & inside=$!
    begin g.kymo --cgroup /sys/fs/cgroup/vm
    touch go
    calls count 70
    wait $inside
    end
    rmdir /sys/fs/cgroup/vm/below /sys/fs/cgroup/vm
    holds "$(count 'syscall == getppid' g.kymo)" = 50
    rows -t cgroup g.kymo | grep -q '"path":"/vm/below"'
}
two_recorders() {
    begin one.kymo --comm calls
    first=$recorder
    begin two.kymo --comm calls
    calls count 1000
    end
    begun=one.kymo recorder=$first
    end
    for f in one.kymo two.kymo; do holds "$(count 'syscall == getppid' $f)" = 1000; done
}
without_btf() {
    unshare -m sh -c 'mount --make-rprivate / 2>/dev/null; mount -t tmpfs t /sys/kernel/btf && exec kymo record --no-progress -q -w n.kymo -- calls count 100' >said 2>&1 &&
        status=0 || status=$?
    cat said
    holds $status = 4
    holds "$(wc -l <said)" = 1
    grep -q -e BTF said
    holds ! -e n.kymo
}
btf_from_a_file() {
    cp /sys/kernel/btf/vmlinux btf
    unshare -m sh -c 'mount --make-rprivate / 2>/dev/null; mount -t tmpfs t /sys/kernel/btf && exec kymo record --no-progress -q --btf btf -w n.kymo -- calls count 100'
    holds "$(count 'syscall == getppid' n.kymo)" = 100
    kymo cat --jsonl -t process -f 'kind == exec' n.kymo | grep -q '"argv":"calls count 100"'
    kymo check n.kymo
}
least_capabilities() {
    mkdir own && chown 65534:65534 own
    cd own
    # 39 is CAP_BPF, 38 CAP_PERFMON.
    XDG_RUNTIME_DIR=$PWD only_caps 65534 38,39 kymo record --no-progress -q -w p.kymo & recorder=$!
    await "$PWD/kymo/record-$recorder.sock"
    calls count 500
    begun=p.kymo
    end
    holds "$(count 'syscall == getppid && comm == calls' p.kymo)" = 500
}
no_capabilities() {
    mkdir own && chown 65534:65534 own
    cd own
    # 0 is CAP_CHOWN: of no use here.
    only_caps 65534 0 kymo record --no-progress -w p.kymo -d 1s >said 2>&1 && status=0 || status=$?
    cat said
    holds $status = 4
    grep -q CAP_BPF said
    holds ! -e p.kymo
}

{
    echo "# $(uname -r) $(uname -v), $(nproc) CPUs"
    echo "1..18"
} >&3
t "doctor finds that this host can be recorded" doctor
t "every call of a command is recorded, with its arguments, result and duration" all_calls
t "calls that are counted add up to those that were made" counted
t "two busy processes lose nothing, or no more than is said" two_busy
t "a starved recorder accounts for every call, by CPU" account
t "a recorder that was stopped for a while accounts for every call" stopped
t "a killed recorder leaves a readable file, and check names its end" killed
t "births, execs, deaths, threads and last calls are rows" processes
t "paths, addresses and errors are those of the calls" strings
t "a 32-bit call is one of its own architecture" compat
t "a call that still blocks at the end is a row, and so are marks" unfinished_and_marked
t "filters choose by name, call and user" filters
t "a cgroup chooses what is in it and below it" cgroups
t "two recorders do not disturb each other" two_recorders
t "without type information it refuses with advice" without_btf
t "with type information from a file it needs none of the kernel's own" btf_from_a_file
t "CAP_BPF and CAP_PERFMON are enough, without root" least_capabilities
t "without capabilities it refuses with advice" no_capabilities
exec 3>&-
sync
poweroff -f
