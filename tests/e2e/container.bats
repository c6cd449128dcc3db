#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Choosing by cgroup, container and process tree, also of what starts later; real containers by runc.

bats_require_minimum_version 1.5.0

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/calls" "$BATS_TEST_DIRNAME/calls.c"
    cc -O1 -static -pthread -o "$BATS_FILE_TMPDIR/calls.static" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH:/usr/sbin
    calls=$BATS_FILE_TMPDIR/calls
    cd "$BATS_TEST_TMPDIR" || return 1
    [ "$(id -u)" = 0 ] || skip "only root can make cgroups and containers"
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    name=kymo-t$$-$BATS_TEST_NUMBER
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
    [ ! -d "bundle" ] || timeout 20 runc delete -f "$name" 2>/dev/null || true
    for folder in "${unified:-/nonexistent}/$name" "${unified:-/nonexistent}/${id-none}" "${unified:-/nonexistent}/${id2-none}"; do
        [ ! -d "$folder" ] || rmdir "$folder" || true
    done
}

rows() { kymo cat --jsonl "$@"; }
count() { rows -t syscall -f "$1" "$2" | wc -l; }
start() {
    kymo-record --no-progress -q "$@" & recorder=$!
    for _ in $(seq 200); do
        [ ! -S "/run/kymo/record-$recorder.sock" ] || return 0
        sleep 0.05
    done
    return 1
}
stop() { kill -INT "$recorder"; wait "$recorder"; }
needs_v2() { [ -n "$unified" ] && mkdir "$unified/$name" 2>/dev/null && rmdir "$unified/$name" || skip "no cgroup can be made here"; }
in_cgroup() { sh -c "echo 0 >'$unified/$1/cgroup.procs' && exec '$calls' count $2"; } # NAME N

# A bundle whose process runs the script "$1".
bundle() {
    command -v runc >/dev/null || skip "runc is not installed"
    command -v busybox >/dev/null || skip "busybox-static is not installed"
    mkdir -p bundle/rootfs/bin bundle/rootfs/dev bundle/rootfs/proc bundle/rootfs/sys
    cp "$(command -v busybox)" bundle/rootfs/bin/busybox
    ln -sf busybox bundle/rootfs/bin/sh
    cp "$BATS_FILE_TMPDIR/calls.static" bundle/rootfs/bin/calls
    (cd bundle && rm -f config.json && runc spec)
    jq --arg script "$1" '.process.terminal = false | .process.args = ["/bin/sh", "-c", $script]' \
        bundle/config.json >bundle/config.new
    mv bundle/config.new bundle/config.json
    timeout 20 runc run -b bundle "$name" >runc.txt 2>&1 </dev/null || skip "runc runs no container here: $(tail -n 1 runc.txt)"
}
run_container() { timeout -k 5 30 runc run -b bundle "${1-$name}" >out 2>&1 </dev/null; }

@test "a cgroup that is not there is a mistake, unless it is awaited" {
    run -2 kymo record -w a.kymo --cgroup "/$name"
    [[ $output == *"no such cgroup"*--wait* ]]
    run -2 kymo record -w a.kymo --container "$name"
    [[ $output == *"no such container runs"*--wait* ]]
    [ ! -e a.kymo ]
    run -2 kymo record -w a.kymo --wait
    [[ $output == *"--cgroup and --container"* ]]
}

@test "an awaited cgroup is recorded once it is there, and again when it is made anew" {
    needs_v2
    start -w a.kymo --cgroup "/$name" --wait
    "$calls" count 7
    for n in 100 20; do
        mkdir "$unified/$name"
        sleep 0.3
        in_cgroup "$name" $n
        rmdir "$unified/$name"
    done
    stop
    kymo check a.kymo
    [ "$(count 'syscall == getppid' a.kymo)" = 120 ]
    rows -t cgroup a.kymo | grep -q "\"path\":\"/$name\""
}

@test "an absolute path is of one hierarchy, and what moves in later is recorded from then on" {
    needs_v2
    mkdir "$unified/$name"
    start -w a.kymo --cgroup "$unified/$name"
    in_cgroup "$name" 30
    "$calls" count 500
    stop
    [ "$(count 'syscall == getppid' a.kymo)" = 30 ]
}

@test "children that a process starts later belong to it" {
    mkfifo go
    sh -c "read x <go; '$calls' count 40; (exec '$calls' count 2)" & parent=$!
    sleep 0.2
    start -w a.kymo -p $parent
    "$calls" count 500
    echo >go
    wait $parent
    stop
    [ "$(count 'syscall == getppid && comm == calls' a.kymo)" = 42 ]
}

@test "an id is found by its beginning, and more of it is asked for when two begin so" {
    needs_v2
    id=$(printf '%064d' 7 | sed 's/^00000000/facade01/')
    id2=$(printf '%064d' 8 | sed 's/^00000000/facade01/')
    mkdir "$unified/$id"
    start -w a.kymo --container facade010000
    in_cgroup "$id" 25
    "$calls" count 500
    stop
    [ "$(count 'syscall == getppid' a.kymo)" = 25 ]
    mkdir "$unified/$id2"
    run -2 kymo record -w b.kymo --container facade010000
    [[ $output == *"several begin so"* ]]
    run -2 kymo record -w b.kymo --container facade
    [ ! -e b.kymo ]
    start -w b.kymo --container "$id2"
    in_cgroup "$id" 25
    in_cgroup "$id2" 5
    stop
    [ "$(count 'syscall == getppid' b.kymo)" = 5 ]
}

@test "a container is recorded from its start, when it starts again, and nothing else is" {
    bundle 'busybox sleep 0.3; calls count 50'
    start -w a.kymo --container "$name" --wait
    run_container
    run_container
    "$calls" count 500
    stop
    kymo check a.kymo
    [ "$(count 'syscall == getppid && comm == calls' a.kymo)" = 100 ]
    [ "$(rows -t process -f 'kind == exec && exe ~ "*calls"' a.kymo | wc -l)" = 2 ]
    rows -t cgroup a.kymo | grep -q "\"path\":\"[^\"]*/$name\""
}

@test "a container that runs already is found by its name" {
    bundle 'busybox true'
    bundle_script='while :; do calls count 1; busybox sleep 0.1; done'
    jq --arg s "$bundle_script" '.process.args[2] = $s' bundle/config.json >new && mv new bundle/config.json
    run_container & container=$!
    for _ in $(seq 100); do runc state "$name" 2>/dev/null | grep -q '"running"' && break; sleep 0.1; done
    sleep 0.3
    start -w a.kymo --container "$name"
    sleep 1
    stop
    runc kill "$name" KILL
    wait $container || true
    [ "$(count 'syscall == getppid && comm == calls' a.kymo)" -ge 2 ]
    [ "$(rows -t syscall --columns comm a.kymo | grep -vcE '"comm":"(sh|busybox|calls|exe|runc.*)"')" = 0 ]
}

@test "inside a container that has its own pid namespace a recorder says from where to record" {
    bundle 'busybox true'
    [ -x "$KYMO_BUILD/../static/bin/kymo-record" ] || make -s -C "$BATS_TEST_DIRNAME/../.." JOBS=2 static >make.log 2>&1 || cat make.log
    cp "$KYMO_BUILD/../static/bin/kymo-record" bundle/rootfs/bin
    jq '.process.args = ["/bin/kymo-record", "-w", "-", "-d", "0.2s"]' bundle/config.json >new && mv new bundle/config.json
    status=0
    run_container || status=$?
    cat out
    [ "$status" = 4 ]
    grep -q 'pid=host' out
}

@test "a container with the host's pids, CAP_BPF and CAP_PERFMON records the host" {
    bundle 'busybox true'
    [ -x "$KYMO_BUILD/../static/bin/kymo-record" ] || make -s -C "$BATS_TEST_DIRNAME/../.." JOBS=2 static >make.log 2>&1 || cat make.log
    cp "$KYMO_BUILD/../static/bin/kymo-record" bundle/rootfs/bin
    jq '.process.args = ["/bin/kymo-record", "-q", "-w", "/c.kymo", "-d", "3s"]
        | .root.readonly = false
        | .linux.namespaces |= map(select(.type != "pid" and .type != "cgroup"))
        | del(.linux.seccomp)
        | .linux.maskedPaths = [] | .linux.readonlyPaths = []
        | (.process.capabilities[]) = ["CAP_BPF", "CAP_PERFMON"]' bundle/config.json >new && mv new bundle/config.json
    run_container & container=$!
    for _ in $(seq 100); do [ -s bundle/rootfs/c.kymo ] && break; sleep 0.05; done
    sleep 0.5
    "$calls" count 300
    wait $container || { cat out; return 1; }
    kymo check bundle/rootfs/c.kymo
    [ "$(count 'syscall == getppid && comm == calls' bundle/rootfs/c.kymo)" = 300 ]
}
