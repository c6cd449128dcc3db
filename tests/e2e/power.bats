#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who holds which power while a recording runs, what the command after -- gets of it, and what the
# recorder still does when a part of it is missing.

bats_require_minimum_version 1.5.0

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/powercalls" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    calls=$BATS_FILE_TMPDIR/powercalls
    cd "$BATS_TEST_TMPDIR" || return 1
    [ "$(id -u)" = 0 ] || skip "only root can hand out power"
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    chmod 755 .
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
    [ ! -d "${cgroup-}" ] || rmdir "$cgroup" || true
}

record() { timeout -k 5 60 kymo record --no-progress "$@"; }
rows() { kymo cat --jsonl "$@"; }
count() { rows -t syscall -f "$1" "$2" | wc -l; }
field() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; } # PID KEY
has_cap() { (( (16#$(field "$1" CapPrm) >> $2) & 1 )); }                # PID NUMBER
# Start a recorder in the background and wait until it serves its socket; $recorder, $keeper.
start() {
    kymo-record --no-progress "$@" 2>err & recorder=$!
    wait_until_it_runs
    keeper=$(pgrep -P $recorder -x kymo-keeper)
}
wait_until_it_runs() {
    for _ in $(seq 200); do
        [ ! -S "/run/kymo/record-$recorder.sock" ] || [ "$(field $recorder NoNewPrivs)" != 1 ] || return 0
        sleep 0.05
    done
    cat err
    return 1
}
stop() { kill -INT "${1-$recorder}"; wait "${1-$recorder}"; }

@test "the process that drains and writes has no power: another user, no capabilities, a filter" {
    start -q -w d.kymo -a
    for thread in /proc/$recorder/task/*; do
        for key in CapInh CapPrm CapEff CapBnd CapAmb; do
            [ "$(awk -v key=$key: '$1 == key { print $2 }' "$thread/status")" = 0000000000000000 ]
        done
        grep -q $'^Uid:\t65534\t65534\t65534\t65534' "$thread/status"
        grep -q $'^Gid:\t65534\t65534\t65534\t65534' "$thread/status"
        grep -q $'^Groups:\t *$' "$thread/status"
        grep -q $'^NoNewPrivs:\t1' "$thread/status"
        grep -q $'^Seccomp:\t2' "$thread/status"
    done
    [ "$(ls /proc/$recorder/task | wc -l)" -ge 2 ]
    stop
    kymo check d.kymo
}

@test "the keeper has a listed set and the descriptors it serves with, and leaves with the recorder" {
    start -q -w d.kymo -a
    # CAP_DAC_READ_SEARCH 2, CAP_SYS_PTRACE 19, CAP_BPF 39
    [ "$(( 16#$(field $keeper CapPrm) & ~(1 << 2 | 1 << 19 | 1 << 39) ))" = 0 ]
    [ "$(field $keeper CapBnd)" = "$(field $keeper CapPrm)" ]
    [ "$(field $keeper NoNewPrivs)" = 1 ]
    [ "$(field $keeper Seccomp)" = 2 ]
    ! ls -l /proc/$keeper/fd | grep -E 'd\.kymo|signalfd|bpf-prog'
    stop
    ! kill -0 $keeper 2>/dev/null
    [ ! -e /run/kymo/record-$recorder.sock ]
}

@test "a killed recorder takes its keeper and its socket along" {
    start -q -w d.kymo -a
    kill -9 $recorder
    wait $recorder || true
    for _ in $(seq 100); do kill -0 $keeper 2>/dev/null || break; sleep 0.02; done
    ! kill -0 $keeper 2>/dev/null
    [ ! -e /run/kymo/record-$recorder.sock ]
}

@test "without its keeper a recording goes on and says what is unknown from then on" {
    start -w d.kymo --comm powercalls
    kill -9 $keeper
    "$calls" count 1000
    sleep 0.3
    cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/kymo-power-$$
    mkdir "$cgroup" 2>/dev/null || skip "no cgroup can be made here"
    sh -c "echo 0 >$cgroup/cgroup.procs && exec $calls count 10"
    stop
    kymo check d.kymo
    [ "$(count 'syscall == getppid' d.kymo)" = 1010 ]
}

@test "a keeper that does not answer holds nothing up" {
    start -q -w d.kymo --comm powercalls
    kill -STOP $keeper
    "$calls" count 100000
    "$calls" block & blocked=$!
    sleep 0.3
    before=$(date +%s%N)
    stop
    [ $(( $(date +%s%N) - before )) -lt 10000000000 ]
    kill -CONT $keeper
    kymo check d.kymo | grep -q ', complete'
    [ "$(count 'syscall == getppid' d.kymo)" = 100000 ]
}

@test "executables and blocked calls of other users are known though the power is gone" {
    setpriv --reuid=1 --regid=1 --clear-groups "$calls" block & other=$!
    sleep 0.3
    start -q -w d.kymo -p $other
    kill -STOP $other; sleep 0.1; kill -CONT $other; sleep 0.2
    stop
    rows -t process -f "kind == snapshot && pid == $other" d.kymo | grep -q "\"exe\":\"$calls\""
    rows -t syscall -f 'flags == 4' d.kymo | grep -q '"syscall":"pause"'
}

@test "-Z names who records, and refuses whom nobody knows" {
    start -q -w d.kymo -Z daemon
    grep -q $'^Uid:\t1\t1\t1\t1' /proc/$recorder/status
    stop
    start -q -w e.kymo -Z 4242
    grep -q $'^Uid:\t4242\t4242\t4242\t4242' /proc/$recorder/status
    stop
    run -2 kymo record -w f.kymo -Z no-such-user
    [ "${#lines[@]}" = 1 ]
    [[ $output == *"no such user"* ]]
    [ ! -e f.kymo ]
}

@test "a user who cannot be become is an error when asked for, and said when not" {
    without='setpriv --bounding-set=-setuid,-setgid --inh-caps=-all'
    run -4 $without "$KYMO_BIN/kymo-record" -w d.kymo -d 1s -Z daemon
    [ "${#lines[@]}" = 1 ]
    [[ $output == *CAP_SETUID* ]]
    [ ! -e d.kymo ]
    $without "$KYMO_BIN/kymo-record" --no-progress -w d.kymo 2>err & recorder=$!
    wait_until_it_runs
    [ "$(field $recorder CapPrm)" = 0000000000000000 ]
    stop
    grep -q 'but as root' err
}

@test "the output is private, belongs to the person behind sudo where they may write, and follows no link" {
    mkdir theirs ours
    chown 1:1 theirs
    chmod 755 theirs ours
    SUDO_UID=1 SUDO_GID=1 record -q -d 0.1s -w theirs/t.kymo
    SUDO_UID=1 SUDO_GID=1 record -q -d 0.1s -w ours/t.kymo
    record -q -d 0.1s -w ours/u.kymo
    [ "$(stat -c '%u:%g %a' theirs/t.kymo)" = '1:1 600' ]
    [ "$(stat -c '%u:%g %a' ours/t.kymo)" = '0:0 600' ]
    [ "$(stat -c '%u:%g %a' ours/u.kymo)" = '0:0 600' ]
    ln -s /tmp/kymo-nowhere-$$ theirs/link.kymo
    run -6 record -q -d 0.1s -w theirs/link.kymo
    [ ! -e /tmp/kymo-nowhere-$$ ]
}

@test "a command gets no descriptor, no mask, no ignored signal and no filter of ours" {
    # What our caller ignores (a shell in the background, some signals) is its own will, and stays.
    timeout -k 5 60 env --default-signal kymo record --no-progress -q -w c.kymo -- \
        sh -c 'cat /proc/self/status >status; ls /proc/self/fd >fds' 9<"$calls"
    [ "$(tr '\n' ' ' <fds)" = '0 1 2 3 ' ] # 3 is the folder that ls reads
    grep -q $'^SigBlk:\t0000000000000000' status
    # But for 32 and 33, the C library's own, which nobody can set and make leaves ignored.
    [ $((0x$(awk '/^SigIgn/ { print $2 }' status) & ~0x180000000)) = 0 ]
    grep -q $'^NoNewPrivs:\t0' status
    grep -q $'^Seccomp:\t0' status
    grep -q $'^CapInh:\t0000000000000000' status
    grep -q $'^CapAmb:\t0000000000000000' status
    # Root's command is root's, as it would be without us.
    [ "$(awk '/^CapEff/ { print $2 }' status)" = "$(awk '/^CapEff/ { print $2 }' /proc/self/status)" ]
}

@test "a command never gets the capabilities that were lent to the recorder" {
    chmod 777 .
    caps=+bpf,+perfmon
    setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=$caps --ambient-caps=$caps \
        "$KYMO_BIN/kymo-record" -q -w c.kymo -- cat /proc/self/status >status
    for key in CapInh CapPrm CapEff CapAmb; do
        [ "$(awk -v key=$key: '$1 == key { print $2 }' status)" = 0000000000000000 ]
    done
    grep -q $'^Uid:\t65534\t65534\t65534\t65534' status
    [ "$(count 'comm == cat && syscall == read' c.kymo)" -gt 0 ]
}

@test "--as runs the command as somebody else, with that user's groups and home" {
    record -q -w c.kymo --as daemon -- sh -c 'cat /proc/self/status; echo "$USER $LOGNAME $HOME"' >out
    grep -q $'^Uid:\t1\t1\t1\t1' out
    grep -q $'^Gid:\t1\t1\t1\t1' out
    grep -q $'^Groups:\t1 $' out
    grep -q $'^CapEff:\t0000000000000000' out
    grep -q '^daemon daemon /usr/sbin$' out
    run -2 kymo record -w e.kymo --as daemon
    [[ $output == *"after --"* ]]
    run -2 kymo record -w e.kymo --as no-such-user -- true
    [ ! -e e.kymo ]
}

@test "under sudo a command is root's, which is said in one line" {
    SUDO_UID=1 SUDO_GID=1 SUDO_USER=daemon record -w c.kymo -- true 2>err
    [ "$(grep -c 'true runs as root; --as daemon' err)" = 1 ]
    SUDO_UID=1 SUDO_GID=1 SUDO_USER=daemon record -w d.kymo --as daemon -- true 2>err
    ! grep 'runs as root' err
}

@test "a command that cannot run leaves its caller alone, and no file" {
    # In a process group of its own, which a recorder that signals at random would end.
    setsid sh -c 'kymo-record -q -w x.kymo -- /nonexistent/command 2>err; echo $? >status'
    [ "$(cat status)" = 2 ]
    [ "$(wc -l <err)" = 1 ]
    [ ! -e x.kymo ]
}

@test "what a command prints does not get into the capture" {
    record -q -w - -- echo printed 2>err >c.kymo
    kymo check c.kymo
    grep -qx printed err
}

@test "each capability that is missing from root's set is done without, or refused in one line" {
    n=0
    for cap in $(capsh --decode="$(field self CapBnd)" | sed 's/.*=//; s/cap_//g; s/,/ /g'); do
        n=$((n + 1))
        status=0
        timeout -k 5 60 setpriv --bounding-set=-"$cap" --inh-caps=-all \
            "$KYMO_BIN/kymo-record" -q --no-progress -w "$cap.kymo" --comm powercalls -- "$calls" count 100 2>err || status=$?
        echo "$cap: $status $(cat err)"
        # CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON, and they for it.
        [ "$status" = 0 ]
        [ "$(count 'syscall == getppid' "$cap.kymo")" = 100 ]
        if [ "$cap" = setuid ] || [ "$cap" = setgid ]; then
            grep -q 'but as root' err
        else
            [ ! -s err ]
        fi
    done
    [ "$n" -gt 30 ]
}

@test "without CAP_BPF or CAP_PERFMON, and without CAP_SYS_ADMIN, it is status 4 and one line" {
    for without in bpf perfmon; do
        run -4 setpriv --bounding-set=-$without,-sys_admin --inh-caps=-all "$KYMO_BIN/kymo-record" -q -w n.kymo -d 1s
        echo "$output"
        [ "${#lines[@]}" = 1 ]
        [[ $output == *"CAP_BPF and CAP_PERFMON"* ]]
        [ ! -e n.kymo ]
    done
}

@test "two recorders complete, know each other and do not record each other" {
    start -q -w a.kymo -a
    first=$recorder first_keeper=$keeper
    start -q -w b.kymo -a
    sleep 0.3
    "$calls" count 1000
    sleep 0.3
    stop $recorder
    sleep 0.2
    "$calls" count 10
    stop $first
    kymo check a.kymo
    kymo check b.kymo
    [ "$(count 'syscall == getppid && comm == powercalls' a.kymo)" = 1010 ]
    [ "$(count 'syscall == getppid && comm == powercalls' b.kymo)" = 1000 ]
    # It polls only once it has greeted; what it did before, to start, is what any program does.
    [ "$(count "pid == $recorder && syscall == ppoll" a.kymo)" = 0 ]
    [ "$(count "pid == $first" b.kymo)" = 0 ]
    [ "$(count "pid == $first_keeper" b.kymo)" = 0 ]
    rows -t context -f 'key == skipped_recorder' a.kymo | grep -q "\"value\":\"$recorder\""
    rows -t context -f 'key == skipped_recorder_left' a.kymo | grep -q "\"value\":\"$recorder\""
    rows -t context -f 'key == skipped_recorder' b.kymo | grep -q "\"value\":\"$first_keeper\""
}

@test "perf and bpftrace beside a recorder see what they see without it" {
    perf stat -e raw_syscalls:sys_exit true >/dev/null 2>&1 || skip "perf stat cannot count raw_syscalls here"
    start -q -w a.kymo --comm powercalls
    perf stat -x, -o perf.csv -e raw_syscalls:sys_exit "$calls" count 20000
    if command -v bpftrace >/dev/null; then
        timeout -k 5 60 bpftrace -e 'tracepoint:syscalls:sys_enter_getppid /comm == "powercalls"/ { @n = count(); }' \
            -c "$calls count 20000" >bpftrace.txt 2>&1 || cat bpftrace.txt
    fi
    stop
    kymo check a.kymo
    [ "$(grep sys_exit perf.csv | cut -d, -f1)" -ge 60000 ]
    expected=20000
    if grep -q '@n' bpftrace.txt 2>/dev/null; then
        grep -q '@n: 20000' bpftrace.txt
        expected=40000
    fi
    [ "$(count 'syscall == getppid' a.kymo)" = $expected ]
}

@test "doctor says of each source what it needs, and the smallest privilege for the chosen ones" {
    kymo doctor >all
    for source in full counts process snapshot others fds cgroups marks pressure drop; do
        grep -A1 "^[a-z]* *$source " all | grep -q 'needs Linux [0-9]'
    done
    kymo doctor --for process,full >some
    grep -q '^the smallest privilege for process,full: CAP_BPF CAP_PERFMON$' some
    ! grep -q '^ok *marks' some
    kymo doctor --for full,others --json |
        jq -e '.[-1].capabilities == ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]' >/dev/null
    kymo doctor --json | jq -e 'map(select(.source)) | length == 10 and all(.kernel and (.capabilities | type == "array"))' >/dev/null
    run -2 kymo doctor --for full,nonsense
    [[ $output == *nonsense* ]]
}

@test "doctor names what is missing, and what it advises is enough" {
    run -4 setpriv --reuid=1 --regid=1 --clear-groups "$KYMO_BIN/kymo-doctor" --for full,others
    [[ $output == *"no    full                   without CAP_BPF"* ]]
    chmod 777 .
    advice=$(kymo doctor --for full,others | sed -n 's/^  a command: *//p' | sed 's/=USER/=1/g; s/kymo record.*//')
    [[ $advice == setpriv* ]]
    # shellcheck disable=SC2086 -- it is a command line
    $advice "$KYMO_BIN/kymo-doctor" --for full,others >out
    grep -q 'this host can be recorded' out
    "$calls" block & other=$!
    # shellcheck disable=SC2086
    $advice "$KYMO_BIN/kymo-record" -q --no-progress -w a.kymo -d 0.3s 2>/dev/null
    kymo cat --jsonl -t process -f "kind == snapshot && pid == $other" a.kymo | grep -q "\"exe\":\"$calls\""
    # Without the two that are for others, doctor says what is less, and the rest is there.
    # shellcheck disable=SC2086
    ${advice//,+sys_ptrace,+dac_read_search/} "$KYMO_BIN/kymo-doctor" >less || [ $? = 4 ]
    grep -q '^less  others' less
    # shellcheck disable=SC2086
    ${advice//,+sys_ptrace,+dac_read_search/} "$KYMO_BIN/kymo-record" -q --no-progress -w b.kymo -d 0.3s 2>/dev/null
    kymo cat --jsonl -t process -f "kind == snapshot && pid == $other" b.kymo | grep -q "\"exe\":\"$calls\""
}

@test "type information from a file is used when it is this kernel's, and refused when not" {
    cp /sys/kernel/btf/vmlinux mine
    record -q --btf mine -w a.kymo --comm powercalls -- "$calls" count 100
    [ "$(count 'syscall == getppid' a.kymo)" = 100 ]
    echo nothing >text
    run -2 kymo record --btf text -w b.kymo -d 0.1s
    [[ $output == *"no type information"* ]]
    [ "${#lines[@]}" = 1 ]
    run -2 kymo record --btf absent -w b.kymo -d 0.1s
    [[ $output == *"No such file"* ]]
    # Programs of ours carry the few members of a task that they use: a task of another size.
    object=$(ls "$KYMO_BUILD"/gen/syscall.bpf.o)
    run -2 kymo record --btf "$object" -w b.kymo -d 0.1s
    [[ $output == *"of another kernel"* ]]
    [ ! -e b.kymo ]
    # Where the kernel shows none of its own, the file is enough, but for the list of what runs.
    unshare -m sh -c "mount -t tmpfs t /sys/kernel/btf && exec '$KYMO_BIN/kymo-record' -q --no-progress --btf mine -w h.kymo -- '$calls' count 100"
    [ "$(count 'syscall == getppid' h.kymo)" = 100 ]
    kymo cat --jsonl -t process -f 'kind == exec && comm == powercalls' h.kymo | grep -q '"exe"'
    kymo cat --jsonl -t context -f 'key == snapshots' h.kymo | grep -q none
    kymo check h.kymo
    unshare -m sh -c "mount -t tmpfs t /sys/kernel/btf && exec '$KYMO_BIN/kymo-record' -q -w n.kymo -d 0.1s" >hidden 2>&1 && status=0 || status=$?
    cat hidden
    [ "$status" = 4 ]
    [ "$(wc -l <hidden)" = 1 ]
    grep -q CONFIG_DEBUG_INFO_BTF hidden
    [ ! -e n.kymo ]
    kymo doctor --btf mine --for full >/dev/null
    run -4 kymo doctor --btf "$object" --for full
}

@test "the service is installed, systemd finds nothing wrong with it, and its line records with its limits" {
    make -s -C "$BATS_TEST_DIRNAME/../.." install DESTDIR= prefix="$PWD/usr" >install.txt
    unit=$PWD/usr/lib/systemd/system/kymo-record.service
    grep -qx "ExecStart=$PWD/usr/bin/kymo-record --quiet --no-progress \$KYMO_RECORD_OPTIONS" "$unit"
    if command -v systemd-analyze >/dev/null; then
        # A unit of a folder that is no unit path: only what it says of this one counts.
        timeout 60 systemd-analyze verify --man=no --recursive-errors=no "$unit" >verify.txt 2>&1 || { cat verify.txt; return 1; }
        ! grep kymo-record verify.txt
    fi
    caps=$(sed -n 's/^AmbientCapabilities=//p' "$unit" | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
    [ "$caps" = +bpf,+perfmon,+sys_ptrace,+dac_read_search ]
    [ "$(sed -n 's/^CapabilityBoundingSet=//p' "$unit")" = "$(sed -n 's/^AmbientCapabilities=//p' "$unit")" ]
    options=$(sed -n 's/^Environment="KYMO_RECORD_OPTIONS=\(.*\)"$/\1/p' "$unit" | sed 's/%%/%/g')
    line=$(sed -n 's/^ExecStart=//p' "$unit" | sed "s:\$KYMO_RECORD_OPTIONS:$options:")
    mkdir state && chown 4242:4242 state && chmod 700 state
    chmod 755 "$BATS_FILE_TMPDIR" .
    cd state
    # shellcheck disable=SC2086 -- it is a command line
    XDG_RUNTIME_DIR=$PWD setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=$caps --ambient-caps=$caps \
        --bounding-set=-all,$caps --no-new-privs prlimit --core=0 $line 2>../err & recorder=$!
    for _ in $(seq 200); do [ -S "kymo/record-$recorder.sock" ] && break; sleep 0.05; done
    "$calls" count 500
    [ "$(field $recorder CapPrm)" = 0000000000000000 ]
    XDG_RUNTIME_DIR=$PWD kymo mark from-outside --to $recorder
    kill -TERM $recorder
    wait $recorder
    kymo check kymo-*.kymo
    [ "$(count 'syscall == getppid && comm == powercalls' kymo-*.kymo)" = 500 ]
    kymo cat --jsonl -t mark kymo-*.kymo | grep -q from-outside
    kymo cat --jsonl -t process -f 'kind == snapshot' kymo-*.kymo | grep -q '"exe":"/'
}
