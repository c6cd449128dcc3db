#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Processes as the recorder saw them, held against what wait(2), /proc and their own counts say.

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/lives" "$BATS_TEST_DIRNAME/lives.c"
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/storm" "$BATS_TEST_DIRNAME/storm.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    lives=$BATS_FILE_TMPDIR/lives
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
    [ -z "${cgroup-}" ] || rmdir "$cgroup" 2>/dev/null || true
}

record() { timeout -k 5 60 kymo record --no-progress -q "$@"; }
rows() { kymo cat --jsonl -t process "$@"; }
# live MODE...: record it into c.kymo, what it says into truth, the rows into rows.
live() {
    record -w c.kymo -- "$lives" "$@" >truth
    kymo check -q c.kymo
    rows c.kymo >rows
}
truth() { tail -n 1 truth | jq "$1"; }
# number FILTER: of the rows
number() { jq -s "map(select($1)) | length" rows; }
# The column $2 of the one row that is $1.
only() { [ "$(number "$1")" = 1 ] && jq -r "select($1) | $2" rows; }
near() { awk -v a="$1" -v b="$2" -v by="$3" 'BEGIN { exit !(a - b <= by && b - a <= by) }'; }
wait_for_recorder() {
    for _ in $(seq 100); do
        [ -S "/run/kymo/record-$recorder.sock" ] && [ -s "$1" ] && return
        sleep 0.05
    done
    return 1
}
process_loss() { kymo info --json "$1" | jq -e '.loss[] | select(.source == "process") | .adds_up and .dropped_ring + .dropped_queue == 0'; }

@test "the exit of a process tells what wait4 tells" {
    live burn
    pid=$(truth .pid)
    of=".kind == \"exit\" and .pid == $pid"
    [ "$(only "$of" .code)" = "$(truth .status)" ]
    [ "$(truth .status)" = $((7 * 256)) ]
    [ "$(only "$of" .maxrss)" = "$(truth .maxrss)" ]
    [ "$(only "$of" .minflt)" = "$(truth .minflt)" ]
    [ "$(only "$of" .majflt)" = "$(truth .majflt)" ]
    # What the scheduler has not charged yet is missing: a tick, of up to 10 ms.
    near "$(only "$of" '(.utime + .stime) / 1e9')" "$(truth .cpu)" 0.0201
    # The parent may have to wait for the CPU before it learns of it.
    near "$(only "$of" '.lifetime / 1e9')" "$(truth .life)" 1
    [ "$(only "$of" '.lifetime >= .utime + .stime')" = true ]
}

@test "a killed process has its signal as its code" {
    live kill
    [ "$(only ".kind == \"exit\" and .pid == $(truth .pid)" .code)" = 9 ]
}

@test "an exec has the executable, the working directory and the arguments, however short it is" {
    mkdir -p "deep/$(printf 'x%.0s' {1..200})"
    record -w c.kymo -- sh -c 'cd deep/x*; for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true "a b" $i; done'
    rows -f 'kind == exec && comm == true' c.kymo >rows
    [ "$(wc -l <rows)" = 10 ]
    [ "$(jq -r .exe rows | sort -u)" = "$(realpath /bin/true)" ]
    [ "$(jq -r .cwd rows | sort -u)" = "$(realpath deep/x*)" ]
    [ "$(jq -r .argv rows | tail -n 1)" = "/bin/true 'a b' 10" ]
}

@test "paths are those of the process's own mounts" {
    unshare -m true 2>/dev/null || skip "unshare -m is not allowed here"
    mkdir -p m/n
    record -w c.kymo -- unshare -m sh -c 'mount -t tmpfs none m/n && mkdir m/n/inner && cd m/n/inner && /bin/true'
    [ "$(rows -f 'kind == exec && comm == true' c.kymo | jq -r .cwd)" = "$PWD/m/n/inner" ]
    [ "$(rows -f 'kind == exec' c.kymo | jq -r '.mntns' | sort -u | wc -l)" = 2 ]
}

@test "processes that live as short as can be are all there, each with an identity of its own" {
    live storm 20000
    of=".ppid == $(truth .pid)"
    [ "$(number ".kind == \"fork\" and $of")" = "$(truth .made)" ]
    [ "$(number ".kind == \"exit\" and .lifetime and $of")" = "$(truth .made)" ]
    [ "$(jq -r "select(.kind == \"fork\" and $of) | [.pid, .start] | @csv" rows | sort -u | wc -l)" = "$(truth .made)" ]
    # every birth has its death
    [ "$(jq -r "select($of) | [.pid, .start] | @csv" rows | sort | uniq -c | awk '{ print $1 }' | sort -u)" = 2 ]
    [ "$(jq -s "map(select(.kind == \"exit\" and $of) | .code / 256) | unique | length" rows)" = 128 ]
    process_loss c.kymo
}

@test "of threads that leave at the same moment exactly one is the last" {
    live threads 500
    mine=$(truth .pid)
    [ "$(number ".kind == \"fork\" and .pid == .tid and .ppid == $mine")" = 500 ]
    [ "$(number ".kind == \"fork\" and .pid != .tid and .ppid == $mine")" = 1500 ]
    [ "$(number ".kind == \"exit\" and .ppid == $mine")" = 2000 ]
    [ "$(number ".kind == \"exit\" and .lifetime and .ppid == $mine")" = 500 ]
    [ "$(jq -s "map(select(.lifetime and .ppid == $mine) | .pid) | unique | length" rows)" = 500 ]
}

@test "a program that another thread executes goes on as the same process" {
    live threadexec /bin/true
    pid=$(truth .pid)
    [ "$(only ".kind == \"exec\" and .pid == $pid" .tid)" = "$pid" ]
    [ "$(only ".kind == \"exec\" and .pid == $pid" .argv)" = "/bin/true 'from a thread'" ]
    [ "$(jq -s "map(select(.pid == $pid) | .start) | unique | length" rows)" = 1 ]
    # The first thread's end was not the process's.
    [ "$(only ".kind == \"exit\" and .lifetime and .pid == $pid" .execseq)" = "$(only ".kind == \"exec\" and .pid == $pid" .execseq)" ]
    # Its calls belong to it, before and after.
    kymo cat --jsonl -t syscall -f "pid == $pid && comm == true" c.kymo | grep -q '"syscall":"exit_group"'
    [ "$(kymo cat --jsonl -t syscall -f "pid == $pid && comm == true" c.kymo | jq -s 'map(.start) | unique | length')" = 1 ]
}

@test "a process outlives its first thread, with what it has open" {
    live leaderfirst
    pid=$(truth .pid)
    [ "$(only ".kind == \"exit\" and .lifetime and .pid == $pid" .code)" = "$(truth .status)" ]
    [ "$(only ".kind == \"exit\" and .lifetime and .pid == $pid" '.tid == .pid')" = false ]
    [ "$(only ".kind == \"exit\" and .tid == $pid" .lifetime)" = null ]
    kymo stat --by syscall,file -f "pid == $pid && syscall == read" --jsonl c.kymo | grep -q '"/etc/passwd"'
}

@test "processes with one and the same pid are told apart" {
    run "$lives" reuse 1
    [ "$status" = 0 ] || skip "clone3 may not choose pids here"
    live reuse 20
    pid=$(truth .pid)
    # the first one, whose pid it was, and 20 more
    [ "$(number ".kind == \"fork\" and .pid == $pid")" = 21 ]
    [ "$(jq -s "map(select(.kind == \"fork\" and .pid == $pid) | .start) | unique | length" rows)" = 21 ]
    [ "$(number ".kind == \"exec\" and .pid == $pid")" = 10 ]
    # Each of their calls is of one of them, and those of the ten that executed a program of the right ones.
    kymo cat --jsonl -t syscall -f "pid == $pid" c.kymo >calls
    jq -s 'map(.start) | unique' calls >seen
    jq -s "map(select(.kind == \"fork\" and .pid == $pid) | .start) | unique" rows | diff - seen
    jq -r "select(.kind == \"exec\" and .pid == $pid) | .start" rows | sort >those
    jq -r 'select(.comm == "true") | .start' calls | sort -u | diff those -
}

@test "a fork bomb under a limit is counted to the last child, and the host goes on" {
    [ -d /sys/fs/cgroup/pids ] || skip "there is no pids hierarchy here"
    cgroup=/sys/fs/cgroup/pids/kymo-test-$$
    mkdir "$cgroup" 2>/dev/null || skip "cgroups cannot be made here"
    echo 40 >"$cgroup/pids.max"
    record -w c.kymo -- sh -c "echo \$\$ >$cgroup/cgroup.procs; exec '$lives' bomb" >truth
    rows c.kymo >rows
    [ "$(truth .refused)" -ge 1000 ]
    [ "$(number '.kind == "fork"')" = "$(truth .made)" ]
    [ "$(number '.kind == "exit" and .lifetime')" = $(( $(truth .made) + 1 )) ]
    process_loss c.kymo
    rmdir "$cgroup"
}

@test "who becomes somebody else is told, also within a millisecond" {
    [ "$(id -u)" = 0 ] || skip "only root becomes somebody else"
    live cred
    pid=$(truth .pid)
    [ "$(truth .status)" = 0 ]
    jq -c "select(.kind == \"cred\" and .pid == $pid) | [.uid, .euid, .gid, .egid, .capeff == 0]" rows >told
    diff - told <<'END'
[0,0,70,71,false]
[80,0,70,71,false]
[82,82,70,71,true]
END
}

@test "who takes namespaces of its own is told" {
    live unshare
    net=$(head -n 1 truth | jq .netns)
    [ "$(tail -n 1 truth | jq .status)" = 0 ] || skip "network namespaces cannot be made here"
    pid=$(truth .pid)
    [ "$(only ".kind == \"cred\" and .pid == $pid" .netns)" = "$net" ]
    [ "$(only ".kind == \"fork\" and .pid == $pid" .netns)" = "$(stat -Lc %i /proc/self/ns/net)" ]
    [ "$(only ".kind == \"exit\" and .pid == $pid" .netns)" = "$net" ]
}

@test "a cgroup that is gone with its only process has its name" {
    [ -d /sys/fs/cgroup/memory ] && parent=/sys/fs/cgroup/memory || parent=/sys/fs/cgroup
    cgroup=$parent/kymo-gone-$$
    kymo record --no-progress -q -w g.kymo & recorder=$!
    wait_for_recorder g.kymo
    if ! mkdir "$cgroup" 2>/dev/null; then kill -INT $recorder; skip "cgroups cannot be made here"; fi
    kill -STOP $recorder # it can look at nothing until all is over
    sh -c "echo \$\$ >$cgroup/cgroup.procs; exec true"
    rmdir "$cgroup"
    kill -CONT $recorder
    sleep 0.3
    kill -INT $recorder
    wait $recorder
    id=$(rows -f 'kind == exec && comm == true' g.kymo | jq .cgroup | tail -n 1)
    [ "$(kymo cat --jsonl -t cgroup g.kymo | jq -r "select(.id == $id) | .path")" = "/kymo-gone-$$" ]
}

# ---- snapshots ----------------------------------------------------------------------------------

# One that has much open from before the recording on, and uses it.
holder() {
    cat >holder.py <<'END'
import os, socket, sys, time
f = open('/etc/passwd', 'rb')
d = os.open('/usr', os.O_RDONLY)
gone = open('gone', 'w')
os.unlink('gone')
s = socket.socket()
s.bind(('127.0.0.1', 0))
s.listen()
c = socket.create_connection(s.getsockname())
a, _ = s.accept()
u = socket.socket(socket.AF_UNIX)
u.bind('unix.sock')
r, w = os.pipe()
e = os.eventfd(0) if hasattr(os, 'eventfd') else None
os.chdir('/usr/share')
print(os.getpid(), s.getsockname()[1], flush=True)
while True:
    f.seek(0)
    os.read(f.fileno(), 100)
    os.write(w, b'x')
    os.read(r, 1)
    c.send(b'x')
    a.recv(1)
    os.path.exists('doc')
    try:
        os.stat('bin', dir_fd=d)
    except OSError:
        pass
    time.sleep(0.01)
END
    command -v python3 >/dev/null || skip "python3 is not installed"
    python3 holder.py >held &
    holder=$!
    for _ in $(seq 100); do [ -s held ] && break; sleep 0.05; done
    read -r pid port <held
}

@test "a snapshot lists what /proc lists" {
    holder
    record -w s.kymo -p "$pid" -d 500ms
    kymo check -q s.kymo
    for fd in /proc/"$pid"/fd/*; do
        echo "${fd##*/} $(readlink "$fd")"
    done | sort -n >theirs
    kymo cat --jsonl -t fd s.kymo | jq -r '"\(.fd) \(.target)"' | sort -n >ours
    diff theirs ours
    grep -q "(deleted)" ours
    kymo cat --jsonl -t fd s.kymo | jq -r 'select(.local != "") | "\(.local) \(.peer)"' >sockets
    grep -q "^inet:127.0.0.1:$port $" sockets
    grep -qE "^inet:127.0.0.1:[0-9]+ inet:127.0.0.1:$port$" sockets
    grep -qE "^inet:127.0.0.1:$port inet:127.0.0.1:[0-9]+$" sockets
    grep -q "^unix:unix.sock $" sockets
    rows -f 'kind == snapshot' s.kymo >rows
    [ "$(only ".pid == $pid" .cwd)" = /usr/share ]
    [ "$(only ".pid == $pid" .exe)" = "$(readlink "/proc/$pid/exe")" ]
    [ "$(only ".pid == $pid" .netns)" = "$(stat -Lc %i "/proc/$pid/ns/net")" ]
    [ "$(only ".pid == $pid" .pidns)" = "$(stat -Lc %i "/proc/$pid/ns/pid")" ]
    [ "$(only ".pid == $pid" .userns)" = "$(stat -Lc %i "/proc/$pid/ns/user")" ]
    [ "$(only ".pid == $pid" .capeff)" = $((16#$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status"))) ]
}

@test "snapshots come as often as asked, and keep the promise of the seals" {
    holder
    record -w s.kymo -p "$pid" --snapshot 500ms -d 2300ms
    n=$(kymo cat --jsonl -t fd -f 'fd == 0' s.kymo | wc -l)
    echo "$n snapshots"
    [ "$n" -ge 4 ] && [ "$n" -le 6 ]
    # The recording may end between the processes and the descriptors of the last.
    near "$(rows -f "kind == snapshot && pid == $pid" s.kymo | wc -l)" "$n" 1
    kymo check -q s.kymo
    record -w once.kymo -p "$pid" --snapshot 0 -d 1200ms
    [ "$(kymo cat --jsonl -t fd -f 'fd == 0' once.kymo | wc -l)" = 1 ]
    kymo info once.kymo | grep -q '^snapshot_ns 0$'
}

@test "what was open before the recording began is known by its name" {
    holder
    record -w s.kymo -p "$pid" -d 500ms
    kymo stat --by file --jsonl s.kymo | jq -r .file | sort >names
    for name in /etc/passwd '[pipe]' "inet:127.0.0.1:$port" /usr/share/doc /usr/bin; do
        grep -qxF "$name" names
    done
    run ! grep -qx '?' names
}

@test "a slice from the middle stands alone" {
    holder
    record -w s.kymo --snapshot 1s -d 3s
    kymo slice -q --since 1.7s --until 1.9s -p "$pid" -w part.kymo s.kymo
    kymo check -q part.kymo
    # The process's own, and those of the ancestors that say whose child it is.
    kymo cat --jsonl -t fd part.kymo | jq .pid | sort -u >with
    grep -qx "$pid" with
    rows part.kymo | jq .pid | sort -u >who
    [ -z "$(comm -23 with who)" ]
    [ "$(wc -l <who)" -lt "$(rows s.kymo | jq .pid | sort -u | wc -l)" ]
    kymo stat --by file --jsonl part.kymo | jq -r .file | sort >names
    for name in /etc/passwd '[pipe]' "inet:127.0.0.1:$port" /usr/share/doc /usr/bin; do
        grep -qxF "$name" names
    done
    rows part.kymo >rows
    [ "$(only ".kind == \"snapshot\" and .pid == $pid" .cwd)" = /usr/share ]
    [ "$(only ".kind == \"snapshot\" and .pid == $pid" .netns)" = "$(stat -Lc %i "/proc/$pid/ns/net")" ]
}

@test "a snapshot of thousands of descriptors loses no call" {
    command -v python3 >/dev/null || skip "python3 is not installed"
    python3 -c '
import os, resource, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000))
for i in range(5000): os.open("/etc/passwd", os.O_RDONLY)
print(os.getpid(), flush=True)
while True: os.getppid()' >many &
    for _ in $(seq 100); do [ -s many ] && break; sleep 0.05; done
    pid=$(cat many)
    record -w m.kymo -p "$pid" --snapshot 500ms -d 1800ms
    [ "$(kymo cat --jsonl -t fd -f 'fd >= 3' m.kymo | jq -r .ts | sort | uniq -c | awk '{ n += $1 } END { print n }')" -ge 10000 ]
    kymo info --json m.kymo | jq -e '.loss[] | select(.source == "syscall") | .adds_up and .dropped_ring + .dropped_queue == 0'
    # The recording may end within the last.
    kymo info m.kymo | awk '$1 == "snapshots_cut" { n = $2 } END { exit n > 1 }'
}

@test "a recorder without snapshots of others says nothing of them" {
    holder
    record -w c.kymo -- sleep 0.5
    [ "$(kymo cat --jsonl -t fd c.kymo | jq -r .pid | sort -u | wc -l)" = 1 ]
    run ! grep -q "\"pid\":$pid," <(kymo cat --jsonl -t fd c.kymo)
}

# A row's thread is told from where its registers lay: those of tgkill(pid, tid, 0) say who made it.
who() {
    kymo cat --jsonl -f 'syscall == tgkill' c.kymo >rows
    jq -s 'map(select(.pid != .arg0 or .tid != .arg1)) | length' rows
}

@test "threads that have the same kernel stack one after the other are told apart" {
    record -w c.kymo -- "$BATS_FILE_TMPDIR/storm" stacks 500
    [ "$(who)" = 0 ]
    [ "$(wc -l <rows)" = 4000 ]
    [ "$(jq -r .tid rows | sort -u | wc -l)" = 500 ]
    # Taken for another thread at entry, a call has no duration.
    [ "$(jq -s 'map(select(.dur == null)) | length' rows)" = 0 ]
}

@test "a thread that takes its leader's number is told by it" {
    record -w c.kymo -- "$BATS_FILE_TMPDIR/storm" swap
    [ "$(who)" = 0 ]
    [ "$(wc -l <rows)" = 16 ]
    [ "$(jq -r .tid rows | sort -u | wc -l)" = 2 ]
}
