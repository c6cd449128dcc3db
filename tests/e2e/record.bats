#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The recorder on the kernel that runs the tests. What it recorded is held against the truth of the
# program that made the calls, never against the recorder's own programs.

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/calls" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    calls=$BATS_FILE_TMPDIR/calls
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
}

record() { timeout -k 5 60 kymo record --no-progress "$@"; }
rows() { kymo cat --jsonl "$@"; }
count() { rows -t syscall -f "$1" "$2" | wc -l; }
# Wait until the recorder that writes $1 serves its socket; its pid in $recorder.
wait_for_recorder() {
    for _ in $(seq 100); do
        [ -S "/run/kymo/record-$recorder.sock" ] && [ -s "$1" ] && return
        sleep 0.05
    done
    return 1
}
# FIELD of the summed loss rows of a source
loss() { kymo cat --jsonl -t loss -f "source == \"$2\"" "$3" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'; }
dropped() { echo $(( $(loss dropped_ring "$1" "$2") + $(loss dropped_nested "$1" "$2") + $(loss dropped_queue "$1" "$2") + $(loss dropped_quota "$1" "$2") )); }
identity_holds() {
    [ "$(loss seen "$1" "$2")" = "$(( $(loss stored "$1" "$2") + $(loss filtered "$1" "$2") + \
        $(loss aggregated "$1" "$2") + $(loss sampled "$1" "$2") + $(dropped "$1" "$2") ))" ]
}

@test "every call of a command is recorded, with its arguments and result" {
    record -q -w c.kymo -- "$calls" count 20000
    [ "$(count 'syscall == getppid' c.kymo)" = 20000 ]
    [ "$(count 'syscall == read && ret == 8 && arg2 == 8' c.kymo)" = 20000 ]
    [ "$(count 'syscall == write && ret == 8 && arg2 == 8' c.kymo)" = 20000 ]
    kymo check c.kymo
}

@test "rounded times are smaller, near the true ones and said to be rounded" {
    record -q --time-unit 64ns -w u.kymo -- "$calls" count 20000
    record -q -w c.kymo -- "$calls" count 20000
    [ "$(count 'syscall == getppid' u.kymo)" = 20000 ]
    rows -t syscall --columns ts,dur u.kymo | jq -e -s 'all(.ts % 64 == 0 and (.dur // 0) % 64 == 0)' >/dev/null
    [ "$(stat -c %s u.kymo)" -lt "$(stat -c %s c.kymo)" ]
    kymo check u.kymo
    run -2 kymo record --time-unit 3ns -w no.kymo -- true
    [[ $output == *'divide a second'* ]]
    [ ! -e no.kymo ]
}

@test "the count of a second, independent observer is the same" {
    perf stat -e raw_syscalls:sys_exit true >/dev/null 2>&1 || skip "perf stat cannot count raw_syscalls here"
    record -q -w p.kymo -- perf stat -x, -o perf.csv -e raw_syscalls:sys_exit "$calls" count 50000
    # perf counts exits from its child's exec on; exit_group never exits, the exec itself does.
    seen=$(grep sys_exit perf.csv | cut -d, -f1)
    pid=$(rows -t process -f 'kind == exec && exe ~ "*/calls"' p.kymo | grep -o '"pid":[0-9]*' | cut -d: -f2)
    exec_row='(syscall == execve && ret == 0)'
    mine=$(count "pid == $pid && comm == calls && syscall != exit_group" p.kymo)
    echo "perf $seen, recorded $mine"
    [ "$mine" = "$seen" ]
}

@test "each call is counted as often as strace counts it" {
    command -v strace >/dev/null || skip "strace is not installed"
    # strace -c leaves out exit_group, which never returns.
    record -q -w s.kymo --comm find -- strace -f -qq -c -o counted find /usr/share/doc -maxdepth 2 -name 'copy*'
    awk '$4 ~ /^[0-9]+$/ && $NF != "total" { print $NF, $4 }' counted | sort >theirs
    rows -t syscall -f 'syscall != exit_group' s.kymo | grep -o '"syscall":"[a-z0-9_]*"' | sort | uniq -c |
        awk -F'[: "]+' '{ print $4, $2 }' | sort >ours
    diff theirs ours
    [ "$(wc -l <ours)" -gt 15 ]
}

@test "accepted, bound and connected addresses are text" {
    command -v redis-server >/dev/null || skip "redis-server is not installed"
    port=$(( 15000 + RANDOM % 15000 ))
    kymo record --no-progress -q -w a.kymo --comm 'redis*' --syscalls accept,accept4,bind,connect & recorder=$!
    wait_for_recorder a.kymo
    redis-server --port $port --bind 127.0.0.1 --save '' >/dev/null & server=$!
    for _ in $(seq 50); do redis-cli -p $port ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done
    kill $server
    kill -INT $recorder
    wait $recorder
    rows -t syscall -f "syscall == bind && addr == \"inet:127.0.0.1:$port\"" a.kymo | grep -q .
    rows -t syscall -f "syscall == connect && addr == \"inet:127.0.0.1:$port\" && ret == 0" a.kymo | grep -q .
    rows -t syscall -f 'syscall ~ "accept*" && ret >= 0' a.kymo | grep -q '"addr":"inet:127.0.0.1:'
    # A refused accept filled nothing in: what lies in its buffer is no address.
    rows -t syscall -f 'syscall ~ "accept*" && ret < 0' a.kymo >refused
    [ -s refused ] && ! grep -q '"addr"' refused
}

@test "two busy processes lose nothing, or say exactly what they lost" {
    kymo record --no-progress -q -w l.kymo & recorder=$!
    wait_for_recorder l.kymo
    "$calls" loop 3 >n1 & one=$!
    "$calls" loop 3 >n2
    wait $one
    kill -INT $recorder
    wait $recorder
    truth=$(( $(cat n1) + $(cat n2) ))
    stored=$(kymo cat --csv --columns pid -t syscall -f 'syscall == getppid && comm == calls' l.kymo | tail -n +2 | wc -l)
    lost=$(dropped syscall l.kymo)
    echo "made $truth, stored $stored, dropped $lost"
    identity_holds syscall l.kymo
    [ "$lost" -gt 0 ] || [ "$stored" = "$truth" ]
    [ "$stored" -le "$truth" ]
}

@test "a recorder that was stopped for a while accounts for every call it could not take" {
    kymo record --no-progress -q --kernel-ring 2M -w s.kymo --comm calls & recorder=$!
    wait_for_recorder s.kymo
    kill -STOP $recorder
    "$calls" count 100000
    kill -CONT $recorder
    sleep 0.3
    kill -TERM $recorder
    wait $recorder
    stored=$(count 'comm == calls' s.kymo)
    lost=$(dropped syscall s.kymo)
    echo "stored $stored, dropped $lost"
    [ "$lost" -gt 1000 ]
    identity_holds syscall s.kymo
    # 300,000 by the loop; the rest is the start and the end of the program: the same every time.
    record -q -w t.kymo --comm calls -- "$calls" count 0
    [ "$(( stored + lost ))" = "$(( 300000 + $(count 'comm == calls' t.kymo) ))" ]
}

@test "what was lost beyond --max-loss is exit status 5" {
    kymo record --no-progress --kernel-ring 2M --max-loss 0 -w s.kymo --comm calls 2>err & recorder=$!
    wait_for_recorder s.kymo
    kill -STOP $recorder
    "$calls" count 100000
    kill -CONT $recorder
    kill -INT $recorder
    wait $recorder && status=0 || status=$?
    [ "$status" = 5 ]
    grep -q 'more than --max-loss' err
}

@test "paths, addresses and errors are those of the calls" {
    record -q -w o.kymo -- "$calls" odd
    rows -t syscall o.kymo >all
    grep '"addr":"inet:127.0.0.1:1"' all | grep -q '"ret":-111,'
    grep '"addr":"unix:/nonexistent/kymo.sock"' all | grep -q '"ret":-2,'
    grep '"path":"/nonexistent/kymo-stat"' all | grep -q '"ret":-2,'
    grep '"path":"/nonexistent/kymo-from"' all | grep -q '"path2":"/nonexistent/kymo-to"'
    grep -q '"path":"/nonexistent/kymo-exec"' all
    [ "$(count 'syscall == openat && ret == -14 && flags == 8' o.kymo)" = 1 ]
}

@test "what a terminal would obey is escaped in text" {
    record -q -w o.kymo -- "$calls" odd
    ! kymo cat o.kymo | grep -q $'\033'
    kymo cat o.kymo | grep -qi 'x1b'
}

@test "births, execs and deaths of processes are rows, with their arguments" {
    record -q -w o.kymo -- "$calls" odd
    rows -t process o.kymo >all
    grep '"kind":"exec"' all | grep -q "\"argv\":\"$calls count 1 'with blank'\""
    [ "$(grep -c '"kind":"fork"' all)" -ge 2 ]
    [ "$(grep -c '"kind":"exit"' all)" -ge 3 ]
    rows -t syscall -f 'comm == "named-thread" && syscall == getppid' o.kymo | grep -q .
}

@test "a child's return from fork, a successful exec and the last call have their flags" {
    record -q -w o.kymo -- "$calls" odd
    [ "$(count 'flags == 2 && ret == 0' o.kymo)" -ge 2 ]
    [ "$(count 'syscall == execve && flags == 32' o.kymo)" = 2 ]
    [ "$(count 'syscall == exit_group && flags == 1' o.kymo)" = 2 ]
}

@test "a 32-bit call is a call of its own architecture" {
    [ "$(uname -m)" = x86_64 ] || skip "no 32-bit entry is known here but that of x86-64"
    record -q -w o.kymo -- "$calls" odd
    rows -t syscall -f 'flags == 64' o.kymo >compat
    [ "$(wc -l <compat)" = 1 ]
    grep '"arch":1073741827' compat | grep '"nr":20' | grep -q '"syscall":"getpid"'
}

@test "a call that still blocks at the end is a row of its own" {
    "$calls" block & blocked=$!
    sleep 0.2
    kymo record --no-progress -q -w b.kymo -p $blocked & recorder=$!
    wait_for_recorder b.kymo
    # Make it enter the call again while we look: a stop and continue restarts pause.
    kill -STOP $blocked; sleep 0.1; kill -CONT $blocked; sleep 0.2
    kill -INT $recorder
    wait $recorder
    rows -t syscall -f 'flags == 4' b.kymo | grep -q '"syscall":"pause"'
    kymo check b.kymo
}

@test "marks are rows with their own moment" {
    kymo record --no-progress -q -w m.kymo -p $$ & recorder=$!
    wait_for_recorder m.kymo
    kymo mark first --to $recorder
    kymo mark span --begin --to $recorder
    kymo mark span --end --to $recorder
    kymo mark long --for 30s --to $recorder
    kill -INT $recorder
    wait $recorder
    rows -t mark m.kymo >marks
    [ "$(wc -l <marks)" = 4 ]
    grep '"name":"first"' marks | grep -q '"kind":"point"'
    grep '"name":"long"' marks | grep -q '"dur":30000000000'
}

@test "a mark without a recorder is exit status 4" {
    run kymo mark alone --to 1
    [ "$status" = 4 ]
    [ "${#lines[@]}" = 1 ]
}

@test "filters choose by process tree, user, name and call" {
    "$calls" block & other=$!
    record -q -w f.kymo --comm calls --syscalls getppid,@write -- "$calls" count 100
    [ "$(count 'syscall == getppid' f.kymo)" = 100 ]
    [ "$(count 'syscall == write' f.kymo)" = 100 ]
    [ "$(count 'syscall == read' f.kymo)" = 0 ]
    [ "$(count "pid == $other" f.kymo)" = 0 ]
    record -q -w u.kymo -u 65534 -- setpriv --reuid=65534 --clear-groups "$calls" count 10
    [ "$(count 'syscall == getppid' u.kymo)" = 10 ]
    # setpriv was root's until its setresuid returned, which is the first row: not its own exec.
    [ "$(count 'syscall == execve' u.kymo)" = 1 ]
    record -q -w x.kymo --syscalls '!@read' -- "$calls" count 10
    [ "$(count 'syscall == read' x.kymo)" = 0 ]
    [ "$(count 'syscall == write' x.kymo)" = 10 ]
}

@test "a cgroup chooses what is in it and below it" {
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$root" ] && mkdir -p "$root/kymo-test/below" 2>/dev/null || skip "no cgroup can be made here"
    sh -c "echo 0 >$root/kymo-test/below/cgroup.procs && sleep 1 && exec $calls count 50" & inside=$!
    kymo record --no-progress -q -w g.kymo --cgroup "$root/kymo-test" & recorder=$!
    wait_for_recorder g.kymo
    "$calls" count 70
    wait $inside
    kill -INT $recorder
    wait $recorder
    rmdir "$root/kymo-test/below" "$root/kymo-test"
    [ "$(count 'syscall == getppid' g.kymo)" = 50 ]
    rows -t cgroup g.kymo | grep -q '"path":"/kymo-test/below"'
}

@test "the recorder never records itself" {
    kymo record --no-progress -q -w self.kymo & recorder=$!
    wait_for_recorder self.kymo
    "$calls" count 1000
    kill -TERM $recorder
    wait $recorder
    [ "$(count "pid == $recorder" self.kymo)" = 0 ]
    [ "$(count 'syscall == getppid && comm == calls' self.kymo)" = 1000 ]
}

@test "SIGINT and SIGTERM leave a complete file and status 0, a pipe carries the same" {
    for signal in INT TERM; do
        rm -f k.kymo
        kymo record --no-progress -q -w k.kymo & recorder=$!
        wait_for_recorder k.kymo
        kill -$signal $recorder
        wait $recorder
        kymo check k.kymo
    done
    record -q -w - -- "$calls" count 100 | kymo cat --jsonl -t syscall -f 'syscall == getppid' - >piped
    [ "$(wc -l <piped)" = 100 ]
}

@test "a killed recorder leaves whole chunks, and check names the tear" {
    rounds=${KYMO_KILLS:-5}
    RANDOM=7
    "$calls" loop 600 >/dev/null & load=$!
    for i in $(seq "$rounds"); do
        rm -f k.kymo
        kymo record --no-progress -q -w k.kymo & recorder=$!
        wait_for_recorder k.kymo
        sleep "$(printf '0.%03d' $(( RANDOM % 1000 )))"
        [ $(( RANDOM % 2 )) = 0 ] || sleep 1
        kill -9 $recorder
        wait $recorder || true
        rm -f /run/kymo/record-$recorder.sock
        run kymo check k.kymo
        echo "round $i: $status $output"
        # Killed inside a chunk it is a tear (1); between two, a whole but unfinished file (0).
        [ "$status" = 1 ] && [[ $output == *torn* ]] || { [ "$status" = 0 ] && [[ $output == *"did not finish"* ]]; }
        kymo cat --csv -t syscall k.kymo >rows.csv
        kymo info k.kymo >/dev/null
    done
    kill $load
}

@test "a full disk is exit status 6, and what was written stays readable" {
    mkdir small
    unshare -m sh -c "mount -t tmpfs -o size=1m t small || exit 77
        timeout -k 5 60 kymo record --min-free 0 --no-progress -w small/full.kymo -- '$calls' loop 30 >out 2>err
        echo \$? >status; cp small/full.kymo kept.kymo" || skip "no tmpfs can be mounted here"
    [ "$(cat status)" = 6 ]
    grep -q 'No space left' err
    [ "$(count 'syscall == getppid' kept.kymo)" -gt 1000 ]
}

@test "bounds of disk stop the recording with status 8" {
    run record --max-disk 64K -w b.kymo -- "$calls" loop 20
    [ "$status" = 8 ]
    [[ $output == *"disk bound"* ]]
    kymo check b.kymo
}

@test "without options it writes a bounded file of its own name, and says so" {
    kymo record --no-progress 2>err & recorder=$!
    wait_for_recorder err
    kill -INT $recorder
    wait $recorder
    kymo check kymo-*.kymo
    grep -q 'at most 1024 MiB' err
}

@test "mistakes are one clear line and the right status, and no file is left" {
    run record -w x.kymo -- /nonexistent/command
    [ "$status" = 2 ] && [ "${#lines[@]}" = 1 ] && [ ! -e x.kymo ]
    echo old >x.kymo
    run record -w x.kymo -d 1s
    [ "$status" = 2 ] && [[ $output == *exists* ]] && [ "$(cat x.kymo)" = old ]
    run record -w /nonexistent/x.kymo -d 1s
    [ "$status" = 6 ] && [ "${#lines[@]}" = 1 ]
    run record -w y.kymo -p 4194305 -d 1s
    [ "$status" = 2 ] && [[ $output == *"no such process"* ]] && [ ! -e y.kymo ]
    run record -w y.kymo --syscalls openat,frobnicate
    [ "$status" = 2 ] && [[ $output == *frobnicate* ]] && [ ! -e y.kymo ]
    run record -w y.kymo --comm 're*dis'
    [ "$status" = 2 ] && [ ! -e y.kymo ]
    run record --frobnicate
    [ "$status" = 2 ]
}

@test "without the right to load programs it is status 4 and one line" {
    chmod 777 .
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$KYMO_BIN/kymo-record" -w n.kymo -d 1s
    echo "$output"
    [ "$status" = 4 ] && [ "${#lines[@]}" = 1 ] && [ ! -e n.kymo ]
    [[ $output == *"CAP_BPF"* ]]
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$KYMO_BIN/kymo-doctor"
    [ "$status" = 4 ]
}

@test "CAP_BPF and CAP_PERFMON are enough, without root" {
    chmod 777 .
    caps=+bpf,+perfmon
    XDG_RUNTIME_DIR=$PWD setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=$caps \
        --ambient-caps=$caps --bounding-set=-all,$caps "$KYMO_BIN/kymo-record" -q -w p.kymo & recorder=$!
    # Its socket lies in the folder of its own that it may write to, and says that it has begun.
    for _ in $(seq 100); do [ -S "kymo/record-$recorder.sock" ] && break; sleep 0.05; done
    "$calls" count 500
    kill -INT $recorder
    wait $recorder
    kymo check p.kymo
    [ "$(count 'syscall == getppid && comm == calls' p.kymo)" = 500 ]
}

@test "without type information it is status 4 and one line" {
    unshare -m sh -c "mount -t tmpfs t /sys/kernel/btf && exec '$KYMO_BIN/kymo-record' -w n.kymo -d 1s" >out 2>&1 && status=0 || status=$?
    cat out
    [ "$status" = 4 ] && [ "$(wc -l <out)" = 1 ] && [ ! -e n.kymo ]
    grep -q CONFIG_DEBUG_INFO_BTF out
}

@test "in a pid namespace of its own it is status 4 and says from where to record" {
    run unshare -p -f --mount-proc "$KYMO_BIN/kymo-record" -w n.kymo -d 1s
    [ "$status" = 4 ] && [[ $output == *"pid namespace"* ]]
}

@test "the command's status is passed on when asked" {
    run record -q --pass-status -w s.kymo -- sh -c 'exit 42'
    [ "$status" = 42 ]
    run record -q -w t.kymo -- sh -c 'exit 42'
    [ "$status" = 0 ]
}
