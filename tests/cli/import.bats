#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo import: other tools' recordings become captures, with equal counts; malformed ones are refused where.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    : "${KYMO_SHARED:=$BATS_TEST_DIRNAME/../../../shared}"
    PATH=$KYMO_BIN:$PATH
    recordings=$BATS_TEST_DIRNAME/../golden/recordings.py
    corpus=$BATS_TEST_DIRNAME/../fuzz/corpus
    cd "$BATS_TEST_TMPDIR"
}

rows() { # CAPTURE TABLE [FILTER]
    kymo cat --jsonl -t "$2" ${3:+-f "$3"} "$1" | wc -l
}

cell() { # CAPTURE TABLE FILTER COLUMN...
    kymo cat --csv -t "$2" -f "$3" --columns "$4" "$1" | tail -n +2
}

samples() { # unpack the shared samples, or skip
    local archive=$KYMO_SHARED/datasets/$1
    [ -e "$archive" ] || skip "no $archive"
    mkdir -p shared && tar --zstd -xf "$archive" -C shared
}

made() { # KIND: a recording by hand, or skip
    command -v python3 >/dev/null || skip "no python3"
    python3 "$recordings" "$1" >"$1"
}

# ---- strace

@test "an strace log of a real command becomes a capture that featurize reads" {
    command -v strace >/dev/null || skip "no strace"
    strace -f -ttt -T -o log sh -c 'ls / >/dev/null; cat /etc/passwd /nowhere >/dev/null; sleep 1.2' 2>/dev/null || [ -s log ] || skip "strace cannot trace here"
    run -0 kymo import log -w log.kymo
    kymo check log.kymo
    calls=$(grep -cE '^[0-9]+ +[0-9.]+ ([a-z_0-9]+\(|<\.\.\. )' log)
    halves=$(grep -c ' resumed' log || true)
    [ "$(rows log.kymo syscall)" = $((calls - halves)) ]
    [ "$(rows log.kymo process 'kind == exec')" = "$(grep -E 'execve' log | grep -cE '= 0 <')" ]
    [ "$(rows log.kymo process 'kind == exit')" = "$(grep -c '+++ exited' log)" ]
    [ "$(rows log.kymo syscall 'path == "/nowhere" && errno == ENOENT')" = "$(grep -c '"/nowhere".* ENOENT' log)" ]
    run -0 kymo featurize log.kymo -w features.csv
    [ "$(wc -l <features.csv)" -ge 2 ]
}

@test "strace -ff: a file a process, its pid in the name" {
    command -v strace >/dev/null || skip "no strace"
    strace -ff -ttt -T -o log sh -c 'true; ls / >/dev/null; exit 3' 2>/dev/null || ls log.* >/dev/null || skip "strace cannot trace here"
    run -0 kymo import log.* -w all.kymo
    kymo check all.kymo
    [ "$(rows all.kymo syscall)" = "$(cat log.* | grep -cE '^[0-9.]+ [a-z_0-9]+\(')" ]
    for file in log.*; do
        [ "$(rows all.kymo syscall "tid == ${file#log.}")" = "$(grep -cE '^[0-9.]+ [a-z_0-9]+\(' "$file")" ]
    done
    # in order of time, though each file was read by itself
    cell all.kymo syscall 'ts > 0' ts | sort -nc
    [ "$(rows all.kymo syscall 'flags & 16')" = 0 ] || [ "$(kymo cat -t loss --jsonl all.kymo | grep -c '"late":0')" -gt 0 ]
}

@test "halves, threads, results, paths and addresses of a log" {
    run -0 kymo import "$corpus/import_strace/threads" -w t.kymo
    [ "$(rows t.kymo syscall)" = 9 ]
    [ "$(cell t.kymo syscall 'syscall == futex' pid,tid,dur,ret)" = 100,101,200000,-11 ]
    [ "$(cell t.kymo syscall 'syscall == connect' addr)" = '"inet:127.0.0.1:6379"' ]
    [ "$(cell t.kymo syscall 'syscall == read' arg0,arg2,ret)" = 3,4096,812 ]
    [ "$(cell t.kymo process 'kind == exec' exe)" = '"/bin/app"' ]
    [ "$(cell t.kymo process 'kind == exit' pid,tid,code)" = $'100,101,0\n100,100,768' ]
    [[ $(cell t.kymo syscall 'syscall == openat' path) == *app*conf* ]]
}

@test "times of day go past midnight, 32-bit calls are told, the dead are in their last call" {
    run -0 kymo import "$corpus/import_strace/day" -w d.kymo
    [ "$(cell d.kymo syscall 'syscall == bind' ts)" -gt "$(cell d.kymo syscall 'syscall == connect' ts)" ]
    [ "$(cell d.kymo syscall 'syscall == read' arch)" = $((0x40000003)) ]
    [ "$(rows d.kymo syscall)" = 4 ]
    [ "$(cell d.kymo process 'kind == exit' code)" = $((9 + 128)) ]
    kymo info d.kymo | grep -q 'times .*time of day'
}

@test "a log without times has the order alone, and it is said" {
    run -0 kymo import "$corpus/import_strace/plain" -w p.kymo
    [ "$(rows p.kymo syscall)" = 6 ]
    kymo info p.kymo | grep -q 'times .*none'
    [ "$(cell p.kymo syscall 'ret == -516' syscall)" = '"nanosleep"' ]
}

@test "malformed logs are refused with the line, and nothing is written" {
    for bad in 'read(3, "open' 'read(3) = twelve' 'read(3, 4' 'hello' 'read(3) = -1 EWHAT (no)' '<... read resumed> = 3'; do
        printf 'brk(NULL) = 0\n%s\n' "$bad" >bad
        run -3 kymo import --from strace bad -w never.kymo
        [[ $output == *'line 2: '* ]]
        [ ! -e never.kymo ]
        [ "$(ls | wc -l)" = 1 ]
    done
    printf 'brk(NULL) = 0\nbrk(\0) = 0\n' >bad
    run -3 kymo import --from strace bad -w never.kymo
    [[ $output == *'line 2: a zero byte'* ]]
}

@test "the shared strace logs: every call, counted by grep" {
    samples importer-samples/samples.tar.zst
    for file in shared/strace/*.strace; do
        run -0 kymo import "$file" -w out.kymo --force -q
        kymo check -q out.kymo
        resumed=$(grep -c ' resumed>' "$file" || true)
        lines=$(grep -vcE -- '--- SIG|--- \{|\+\+\+ exited' "$file")
        [ "$(rows out.kymo syscall)" = $((lines - resumed)) ]
        [ "$(rows out.kymo syscall 'errno == ENOENT')" = "$(grep -c -- '= -1 ENOENT' "$file" || true)" ]
    done
}

# ---- sequences

@test "sequences: a process a line, names or numbers" {
    printf '# remark\n\nread write exit\nread, close\n' >names
    run -0 kymo import --from sequences names -w n.kymo
    [ "$(rows n.kymo syscall)" = 5 ]
    [ "$(cell n.kymo syscall 'pid == 2' syscall)" = $'"read"\n"close"' ]
    printf '6 6 63\n3\n' >numbers
    run -0 kymo import --from sequences --arch i386 numbers -w i.kymo
    [ "$(cell i.kymo syscall 'pid == 1' syscall)" = $'"close"\n"close"\n"dup2"' ]
    run -3 kymo import --from sequences numbers -w never.kymo
    [[ $output == *'line 1: 6 is a number; --arch'* ]]
    run -0 kymo featurize --by process n.kymo -w n.csv
}

@test "the shared sequences: as many calls and processes as the file has words and lines" {
    for set in adfa-ld/train adfa-ld/dev unm/traces; do
        [ -e "$KYMO_SHARED/datasets/$set.tsv.zst" ] || skip "no $KYMO_SHARED/datasets/$set.tsv.zst"
        zstd -dcq "$KYMO_SHARED/datasets/$set.tsv.zst" >set.tsv
        run -0 kymo import --from sequences --arch i386 set.tsv -w set.kymo --force -q
        [ "$(rows set.kymo syscall)" = "$(awk -F'\t' '{ n += split($NF, a, " ") } END { print n }' set.tsv)" ]
        [ "$(rows set.kymo process 'kind == fork')" = "$(wc -l <set.tsv)" ]
    done
}

# ---- packets

@test "packets: VLAN, IPv4, IPv6, fragments, ARP, what is cut and what is malformed" {
    made pcap
    run kymo import pcap -w p.kymo
    [[ $output != *'built without libpcap'* ]] || skip "built without libpcap"
    [ "$status" = 0 ]
    made pcapng
    run -0 kymo import pcapng -w ng.kymo
    [ "$(kymo cat --csv -t packet p.kymo)" = "$(kymo cat --csv -t packet ng.kymo)" ]
    [ "$(rows p.kymo packet)" = 13 ]
    [ "$(cell p.kymo packet 'vlan == 42' l4,sport,dport,tcpflags,payload)" = 6,40000,443,24,100 ]
    [ "$(cell p.kymo packet 'l3 == 34525 && l4 == 17' src,payload,frag)" = $'"fe80::1",5,\n"fe80::1",0,\n"fe80::1",16,8' ]
    [ "$(cell p.kymo packet 'frag == 32' payload,sport)" = 24, ]
    [ "$(cell p.kymo packet 'l3 == 2054' src,dst)" = '"10.0.0.1","10.0.0.9"' ]
    [ "$(cell p.kymo packet 'flags == 1' caplen,sport,src)" = $'40,40000,"10.0.0.1"\n20,,' ]
    [ "$(rows p.kymo packet 'flags == 2')" = 2 ]
}

@test "a pcap that ends in a packet, or is none, is refused with the packet and the byte" {
    made pcap
    run kymo import pcap -w p.kymo
    [[ $output != *'built without libpcap'* ]] || skip "built without libpcap"
    head -c 200 pcap >cut
    run -3 kymo import cut -w never.kymo
    [[ $output == *'packet 2: '*'(at byte 200)'* ]]
    printf 'no pcap at all, but long enough to be one' >none
    run -3 kymo import --from pcap none -w never.kymo
    [ ! -e never.kymo ]
}

@test "the shared packets: as many as their source says" {
    samples pcap/pcaps.tar.zst
    for want in ddos:80942 benign:68058 attack:500; do
        sum=0
        for file in shared/"${want%:*}"/*; do
            run kymo import "$file" -w out.kymo --force
            [[ $output != *'built without libpcap'* ]] || skip "built without libpcap"
            [ "$status" = 0 ]
            sum=$((sum + $(kymo info --json out.kymo | jq '.tables[] | select(.name == "packet") | .rows')))
        done
        [ "$sum" = "${want#*:}" ]
    done
}

# ---- scap

@test "scap: entries and exits become calls, both forms of it the same" {
    made scap
    made scap2
    run -0 kymo import scap -w 1.kymo
    run -0 kymo import scap2 -w 2.kymo
    [ "$(kymo cat 1.kymo)" = "$(kymo cat 2.kymo)" ]
    [ "$(rows 1.kymo syscall)" = 7 ]
    [ "$(cell 1.kymo syscall 'syscall == openat' pid,dur,ret,path)" = '70,9000,-2,"/etc/passwd"' ]
    [ "$(cell 1.kymo syscall 'syscall == read' pid,tid,arg0,arg2,ret)" = 70,71,3,4096,812 ]
    [ "$(cell 1.kymo syscall 'syscall == connect' addr)" = '"inet:10.0.0.2:443"' ]
    [ "$(cell 1.kymo process 'kind == snapshot && tid == 70' uid,comm)" = '33,"app"' ]
    gzip -k scap2
    run -0 kymo import scap2.gz -w gz.kymo
    [ "$(kymo cat 2.kymo)" = "$(kymo cat gz.kymo)" ]
}

@test "scap that ends in a block, or lies about a length, is refused with the byte" {
    made scap2
    head -c 500 scap2 >cut
    run -3 kymo import cut -w never.kymo
    [[ $output == *'ends in the middle of a block (at byte '* ]]
    cp scap2 lies
    printf '\377' | dd of=lies bs=1 seek=$(($(wc -c <lies) - 4)) conv=notrunc status=none
    run -3 kymo import lies -w never.kymo
    [[ $output == *'two lengths differ (at byte '* ]]
    [ ! -e never.kymo ]
}

@test "the shared scap files: as many events as sysdig prints" {
    samples importer-samples/samples.tar.zst
    # what sysdig prints: all but its talk with itself
    for want in libs-curl_google:1221 libs-single_ipv6_conn:28 libs-test_ipv6_client:68 falco-run_as_user_0_container:3796 \
        falco-cat_write:85 falco-open-multiple-files:86 falco-ping_sendto:20 falco-syscall:12 falco-connect_localhost:8 \
        falco-run_as_user_65534_container:2 falco-write_tmp_test:2 falco-empty:0; do
        run -0 kymo import "shared/scap/${want%:*}.scap" -w out.kymo --force -q
        kymo check -q out.kymo
        events=$(kymo cat -t context --jsonl out.kymo | jq -r 'select(.key == "events").value' |
            sed -E 's/^([0-9]+): .* and ([0-9]+) of the recorder.*/\1 - \2/')
        [ "$((events))" = "${want#*:}" ]
    done
}

# ---- perf, sysdig, tetragon

events() { # CAPTURE: how many the input held
    kymo cat -t context --jsonl "$1" | jq -r 'select(.key == "events").value' | sed 's/:.*//'
}

@test "perf script: entries and exits become calls, processes are told, samples are counted" {
    run -0 kymo import "$corpus/import_perf/script" -w s.kymo
    [ "$(events s.kymo)" = 12 ]
    [ "$(rows s.kymo syscall)" = 5 ]
    [ "$(cell s.kymo syscall 'syscall == openat' arg0,arg2,ret,dur)" = $((0xffffff9c)),$((0x80000)),-2,5000 ]
    [ "$(cell s.kymo syscall 'syscall == vfork' ret)" = 5506 ]
    [ "$(cell s.kymo syscall 'syscall == read' comm,arg2,ret)" = '"two words",832,-11' ]
    [ "$(cell s.kymo process 'kind == fork' pid,ppid)" = 5506,5505 ]
    run -3 kymo import "$corpus/import_perf/no-result" -w never.kymo
    [[ $output == *'line 1: '* ]]
}

@test "perf trace: calls, those told in two lines, and times before the trace began" {
    run -0 kymo import "$corpus/import_perf/trace" -w t.kymo
    [ "$(rows t.kymo syscall)" = 6 ]
    [ "$(cell t.kymo syscall 'syscall == openat' path,ret,dur)" = '"/etc/hosts",4,24000' ]
    [ "$(cell t.kymo syscall 'syscall == read' arg0,arg2,ret)" = 4,832,832 ]
    [ "$(cell t.kymo syscall 'syscall == close' ret)" = -9 ]
    [ "$(cell t.kymo syscall 'syscall == mmap' ts)" -lt "$(cell t.kymo syscall 'syscall == openat' ts)" ]
}

@test "perf itself: as many calls as exits it printed" {
    command -v perf >/dev/null || skip "no perf"
    perf record -q -e raw_syscalls:sys_enter,raw_syscalls:sys_exit -o data cat /etc/passwd >/dev/null 2>&1 || skip "perf cannot record here"
    perf script -i data >script 2>/dev/null
    [ -s script ] || skip "perf recorded nothing here"
    run -0 kymo import script -w p.kymo
    exits=$(grep -c 'raw_syscalls:sys_exit' script)
    [ "$(rows p.kymo syscall 'ret >= 0 || ret < 0')" = "$exits" ]
    [ "$(events p.kymo)" = "$(wc -l <script)" ]
}

@test "sysdig's text, either way round" {
    run -0 kymo import "$corpus/import_sysdig/plain" -w p.kymo
    [ "$(cell p.kymo syscall 'syscall == open' comm,path,ret,dur)" = '"cat","passwd",3,100' ]
    [ "$(cell p.kymo syscall 'syscall == read' arg0,arg2,ret)" = 3,4096,-11 ]
    [ "$(cell p.kymo process 'kind == exec' exe)" = '"/bin/ls"' ]
    [ "$(cell p.kymo process 'kind == exit' tid,code)" = 77,256 ]
    [ "$(events p.kymo)" = 8 ]
    run -0 kymo import "$corpus/import_sysdig/bars" -w b.kymo
    [ "$(cell b.kymo syscall 'syscall == read' dur,arg2,ret)" = 299,10,3 ]
    tac "$corpus/import_sysdig/bars" >forth
    run -0 kymo import forth -w f.kymo
    [ "$(kymo cat -t syscall b.kymo)" = "$(kymo cat -t syscall f.kymo)" ]
    { cat "$corpus/import_sysdig/plain"; echo nonsense; } >bad
    run -3 kymo import bad -w never.kymo
    [[ $output == *'line 9: '* ]]
}

@test "Tetragon's events, a line each or indented" {
    run -0 kymo import "$corpus/import_tetragon/lines" -w t.kymo
    [ "$(events t.kymo)" = 6 ]
    [ "$(cell t.kymo process 'kind == exec' pid,ppid,uid,argv)" = '70,7,33,"/usr/bin/curl -s ""a b"""' ]
    [ "$(cell t.kymo process 'kind == exit' code)" = 9 ]
    [ "$(cell t.kymo syscall 'syscall == connect' addr)" = '"inet:10.0.0.7:443"' ]
    [ "$(cell t.kymo syscall 'syscall == openat' path)" = '"/etc/passwd"' ]
    for bad in no-time open; do
        run -3 kymo import "$corpus/import_tetragon/$bad" -w never.kymo
        [[ $output == *'event 1: '*'(at byte 0)'* ]]
    done
}

@test "the shared texts of perf, sysdig and Tetragon: as many events as they hold" {
    samples importer-samples/samples.tar.zst
    for file in shared/perf-script/*.txt; do
        run -0 kymo import "$file" -w out.kymo --force -q
        # a header has a time, or ends in the event's name
        [ "$(events out.kymo)" = "$(grep -cE '[0-9]+\.[0-9]+: |^[^[:space:]#].* [0-9]+ [a-z-]+: ?$' "$file")" ]
    done
    for file in shared/sysdig-text/*.txt; do
        run -0 kymo import "$file" -w out.kymo --force -q
        [ "$(events out.kymo)" = "$(wc -l <"$file")" ]
        [ "$(rows out.kymo syscall 'flags != 4')" = "$(grep -c ' | < | ' "$file")" ]
    done
    for file in shared/tetragon/*.json; do
        run -0 kymo import "$file" -w out.kymo --force -q
        [ "$(events out.kymo)" = "$(jq -s length "$file")" ]
        [ "$(rows out.kymo process 'kind == exec')" = "$(jq -s 'map(select(.process_exec)) | length' "$file")" ]
    done
}

# ---- CTF

@test "a CTF trace: calls, processes, and what is in no table" {
    command -v python3 >/dev/null || skip "no python3"
    python3 "$recordings" ctf trace
    run kymo import trace -w t.kymo
    [[ $output != *'built without libbabeltrace2'* && $output != *'are not installed'* ]] || skip "no libbabeltrace2"
    [ "$status" = 0 ]
    [ "$(cell t.kymo syscall 'syscall == openat' pid,tid,dur,ret,path)" = '70,71,2000,-13,"/etc/passwd"' ]
    [ "$(cell t.kymo process 'kind == exit' tid)" = 71 ]
    [ "$(events t.kymo)" = 4 ]
    truncate -s 60 trace/stream
    run -3 kymo import trace -w never.kymo
    [[ $output == *'event 1: '* ]]
    echo nonsense >trace/metadata
    run -3 kymo import trace -w never.kymo
    run -3 kymo import --from ctf missing -w never.kymo
    [ ! -e never.kymo ]
}

@test "the shared CTF traces: as many events as babeltrace2 says" {
    samples importer-samples/samples.tar.zst
    for want in training/aggressive_galois_5453:2680 validation/howling_mayer_9706:2196 test/normal/spoiled_zhukovsky_3071:3740 \
        test/normal_and_attack/defeated_chandrasekhar_3584:7912; do
        run kymo import --from ctf "shared/lttng-ctf/${want%:*}/kernel" -w out.kymo --force -q
        [[ $output != *'built without libbabeltrace2'* && $output != *'are not installed'* ]] || skip "no libbabeltrace2"
        [ "$status" = 0 ]
        [ "$(events out.kymo)" = "${want#*:}" ]
    done
}

# ---- the tool

@test "what a file is is guessed where that is safe, else asked" {
    made scap
    made pcapng
    printf '12:00:00 brk(NULL) = 0\n' >log
    for file in scap:scap pcapng:pcap log:strace; do
        run kymo import "${file%:*}" -w out.kymo --force
        [[ $output == *": ${file#*:}: "* || $output == *'built without'* ]]
    done
    echo read write >words
    run -2 kymo import words -w never.kymo
    [[ $output == *'say --from' ]]
    run -2 kymo import
    run -2 kymo import --from cobol log
    run -3 kymo import missing -w never.kymo
    run -3 kymo import . -w never.kymo
}

@test "the output: its default name, --force, standard output, a full disk" {
    printf 'brk(NULL) = 0\n' >log
    run -0 kymo import log
    [ -e log.kymo ]
    run -2 kymo import log
    run -0 kymo import log --force -q
    [ -z "$output" ]
    run -0 bash -c 'kymo import --from strace - -w - -q <log | kymo cat -'
    [[ $output == *'brk(0) = 0'* ]]
    run -2 kymo import --from strace - <log
    [ ! -w /dev/full ] || run -6 kymo import log -w /dev/full --force
}

@test "the examples of the manual page run" {
    command -v strace >/dev/null || skip "no strace"
    page=$BATS_TEST_DIRNAME/../../format/kymo-import.1
    sed -n 's/^\.Dl //p' "$page" >examples
    [ "$(wc -l <examples)" = 5 ]
    printf '6 6 63\n' >traces.txt
    mkdir bin && printf '#!/bin/sh\nexec true\n' >bin/make && chmod +x bin/make
    PATH=$PWD/bin:$PATH
    while IFS= read -r line; do
        case $line in
        tcpdump*) continue ;; # needs an interface; the same from a file:
        *) run -0 bash -c "$line" ;;
        esac
    done < <(sed 's/\\&//g; s/\\-/-/g' examples)
    made pcap
    run bash -c 'cat pcap | kymo import --from pcap - -w packets.kymo'
    [[ $status = 0 || $output == *'built without'* ]]
}
