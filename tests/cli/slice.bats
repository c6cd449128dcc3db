#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo slice: the rows asked for and no others, books that stand alone, smaller rewrites.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    tiny=$BATS_TEST_DIRNAME/../../datasets/tiny/train.kymo
    cd "$BATS_TEST_TMPDIR"
    cp "$tiny" prod.kymo
}

rows() { # FILE TABLE [CAT OPTION...]: exact rows, the time since the start left out
    kymo cat --jsonl -t "$2" "${@:3}" "$1" | sed 's/,"time":[0-9.]*//'
}

losses() { # FILE SOURCE: seen stored filtered dropped
    kymo info --json "$1" | jq -r --arg s "$2" \
        '.loss[] | select(.source == $s) | "\(.seen) \(.stored) \(.filtered) \(.dropped_ring + .dropped_nested + .dropped_queue)"'
}

start() { # FILE: what times are told since
    kymo cat --jsonl -t syscall -n 1 --columns ts,time "$1" | jq -r '.ts - .time'
}

mark() { # KIND NAME: its ns
    kymo cat --jsonl -t mark --columns ts,kind,name prod.kymo | jq -r "select(.kind == \"$1\" and .name == \"$2\") | .ts"
}

turn() { # FILE BYTE: a byte becomes another
    local was
    was=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((was ^ 255)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

clients() { # pids of redis-cli that were seen to begin, two of them
    kymo cat -t process --jsonl --columns pid -f 'comm == redis-cli && kind == exec' prod.kymo | jq -r .pid | sort -u | head -n 2
}

tables='syscall process mark cgroup context clock loss cost sysname'

@test "with nothing to cut every row of every table is there, also in an archive" {
    for how in '' --archive; do
        run -0 kymo slice $how -w out.kymo --force prod.kymo
        run -0 kymo check out.kymo
        [[ $output == *complete ]]
        for table in $tables; do
            cmp <(rows prod.kymo $table) <(rows out.kymo $table)
        done
    done
    [ "$(wc -c <out.kymo)" -lt "$(wc -c <prod.kymo)" ]
}

@test "a slice of time has the rows of that time, and kymo check agrees with its books" {
    run -0 kymo slice --since 10s --until 15.3s -w part.kymo prod.kymo
    run -0 kymo check part.kymo
    cmp <(rows prod.kymo syscall --since 10s --until 15.3s) <(rows part.kymo syscall)
    [ "$(kymo cat -t syscall part.kymo | wc -l)" -gt 100 ]
    read -r seen stored filtered dropped < <(losses part.kymo syscall)
    [ "$stored" = "$(kymo cat -t syscall part.kymo | wc -l)" ]
    [ "$seen" = $((stored + filtered + dropped)) ]
    [ "$(kymo info --json part.kymo | jq -r '.context["slice.since_ns"], .context["slice.until_ns"]' | xargs)" = \
        "$(($(start prod.kymo) + 10000000000)) $(($(start prod.kymo) + 15300000000))" ]
}

@test "who appears in a slice is told of, and who does not is not" {
    # from within one mark to within another
    since=$(($(mark begin writes) + 1000000000 - $(start prod.kymo)))ns
    until=$(($(mark begin storm) + 1000000000 - $(start prod.kymo)))ns
    kymo slice --since $since --until $until -w part.kymo prod.kymo
    kymo cat -t syscall --jsonl --columns pid part.kymo | jq -r .pid | sort -u >appear
    kymo cat -t process --jsonl --columns pid,kind,exe part.kymo >known
    jq -r 'select(.kind != "exit") | .pid' known | sort -u | cmp - appear
    kymo cat -t process --jsonl --columns pid,exe -f 'kind == snapshot' prod.kymo >before
    [ "$(jq -c 'select(.kind == "snapshot") | {pid, exe}' known | grep -cFf before)" -ge 1 ]
    [ "$(kymo cat -t cgroup --jsonl --columns path part.kymo)" = "$(kymo cat -t cgroup --jsonl --columns path prod.kymo)" ]
    # the anchor before the slice, and the one within
    [ "$(rows part.kymo clock | wc -l)" -ge 1 ]
    [ "$(rows part.kymo clock | head -n 1 | jq .ts)" -lt "$(start part.kymo)" ]
    # a mark begun before, still open; ended and begun within
    kymo cat -t mark --jsonl --columns kind,name part.kymo | jq -r '"\(.kind) \(.name)"' | xargs | grep -qx 'begin writes end writes begin storm'
}

@test "what a filter leaves out is filtered in the books" {
    run -0 kymo slice -f 'syscall == openat && ret < 0' -w odd.kymo prod.kymo
    run -0 kymo check odd.kymo
    cmp <(rows prod.kymo syscall -f 'syscall == openat && ret < 0') <(rows odd.kymo syscall)
    read -r seen stored filtered dropped < <(losses odd.kymo syscall)
    read -r all _ _ _ < <(losses prod.kymo syscall)
    [ "$seen" = "$all" ] && [ "$stored" = "$(rows odd.kymo syscall | wc -l)" ]
    [ "$(kymo info --json odd.kymo | jq -r '.context["slice.filter"]')" = 'syscall == openat && ret < 0' ]
}

@test "by process, name, cgroup and table" {
    mapfile -t pid < <(clients)
    kymo slice -p "${pid[0]}" -p "${pid[1]}" -w p.kymo prod.kymo
    cmp <(rows prod.kymo syscall -f "pid == ${pid[0]} || pid == ${pid[1]}") <(rows p.kymo syscall)
    [ "$(kymo cat -t process --jsonl --columns pid p.kymo | jq .pid | sort -u | xargs)" = "${pid[*]}" ]
    kymo slice --comm 'redis-c*' -w c.kymo prod.kymo
    cmp <(rows prod.kymo syscall -f 'comm == redis-cli') <(rows c.kymo syscall)
    path=$(kymo cat -t cgroup --jsonl --columns path prod.kymo | jq -r .path | head -n 1)
    kymo slice --cgroup "${path%?}?" -w g.kymo prod.kymo
    cmp <(rows prod.kymo syscall) <(rows g.kymo syscall)
    kymo slice --cgroup '/no-such*' -w n.kymo prod.kymo
    [ "$(rows n.kymo syscall | wc -l)" = 0 ]
    kymo slice -t process -w t.kymo prod.kymo
    [ "$(rows t.kymo syscall | wc -l)" = 0 ]
    cmp <(rows prod.kymo process) <(rows t.kymo process)
    for file in p c g n t; do kymo check -q $file.kymo; done
}

@test "the span of a mark, and marks that have none" {
    kymo slice --mark storm -w storm.kymo prod.kymo
    cmp <(rows storm.kymo syscall) <(rows prod.kymo syscall -f "ts >= $(mark begin storm)ns && ts <= $(mark end storm)ns")
    [ "$(rows storm.kymo syscall | wc -l)" -gt 100 ]
    kymo check -q storm.kymo
    run -2 kymo slice --mark calm -w calm.kymo prod.kymo
    [[ $output == *"there is no mark 'calm'"* ]]
    [ ! -e calm.kymo ]
}

@test "a slice of a slice says both" {
    kymo slice --since 2s -w a.kymo prod.kymo
    kymo slice --comm 'redis-cli' -w b.kymo a.kymo
    kymo check -q b.kymo
    run -0 kymo info --json b.kymo
    [ "$(jq -r '.context["slice2.comm"]' <<<"$output")" = redis-cli ]
    [ "$(jq -r '.context | has("slice.since_ns")' <<<"$output")" = true ]
}

@test "a time unit rounds times, and says so" {
    kymo slice --archive --time-unit 64ns -w unit.kymo prod.kymo
    kymo check -q unit.kymo
    [ "$(kymo info --json unit.kymo | jq -r '.context.time_unit_ns')" = 64 ]
    kymo cat -t syscall --jsonl --columns ts,dur prod.kymo |
        jq -c '.ts -= .ts % 64 | if .dur then .dur = ((.dur + 32) / 64 | floor) * 64 else . end' |
        cmp - <(kymo cat -t syscall --jsonl --columns ts,dur unit.kymo)
    cmp <(rows prod.kymo clock) <(rows unit.kymo clock)
}

@test "a pipe will do, but not for what has to be looked up before" {
    kymo slice --since 5s -f errno -w - - <prod.kymo >piped.kymo
    kymo slice --since 5s -f errno -w whole.kymo prod.kymo
    cmp <(rows whole.kymo syscall) <(rows piped.kymo syscall)
    run -2 kymo slice --mark storm -w out.kymo - <prod.kymo
    [[ $output == *'this needs a file'* ]]
}

@test "a file may be cut in place, a torn one gives what is whole, a corrupt one nothing" {
    kymo slice --since 5s --force -w prod.kymo prod.kymo
    kymo check -q prod.kymo
    head -c $(($(wc -c <"$tiny") * 2 / 3)) "$tiny" >torn.kymo
    run -0 kymo slice -w out.kymo torn.kymo
    [[ $output == *'ends in mid-chunk'* ]]
    run -0 kymo check out.kymo
    turn torn.kymo 5000
    run -3 kymo slice -w bad.kymo torn.kymo
    [ "$(ls bad.kymo* 2>/dev/null | wc -l)" = 0 ]
    run -2 kymo slice -w out.kymo "$tiny"
    run -2 kymo slice prod.kymo
    run -2 kymo slice --since 5s --until 2s -w x prod.kymo
    run -2 kymo slice -f 'no_such > 1' -w x "$tiny"
    run -2 kymo slice -p twelve -w x "$tiny"
    run -6 kymo slice --force -w /dev/full "$tiny"
}

@test "what is learned from a slice is what happened in it" {
    kymo slice --since 4.2s --until 14.2s -w part.kymo prod.kymo
    kymo slice --archive -w small.kymo part.kymo
    kymo featurize -q --format csv -w part.csv part.kymo
    kymo featurize -q --format csv -w small.csv small.kymo
    # but for the wall clock, whose anchors a reader meets earlier in an archive
    cut -d, -f1,2,4- part.csv >a
    cut -d, -f1,2,4- small.csv | cmp - a
    [ "$(wc -l <part.csv)" -ge 10 ]
}

@test "the examples of the help run" {
    kymo slice --help | sed -n 's/^  \(kymo slice .*\)/\1/p' >examples
    [ "$(wc -l <examples)" = 4 ]
    run -0 bash -e examples
    kymo check -q part.kymo storm.kymo odd.kymo small.kymo
}

@test "a slice that is killed leaves nothing behind" {
    (cat "$BATS_TEST_DIRNAME/../../datasets/tiny/train.kymo"; sleep 20) 3>&- | kymo slice -w killed.kymo - 3>&- &
    sleep 0.5
    pkill -9 -f "kymo-slice -w killed.kymo"
    wait || true
    pkill -f "sleep 20" || true
    ! ls | grep killed
}
