#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo replay without --run: what a capture becomes, as a plan for people, for programs and as a file.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    cp "$BATS_TEST_DIRNAME/../../datasets/tiny/train.kymo" "$BATS_TEST_TMPDIR/prod.kymo"
    cd "$BATS_TEST_TMPDIR"
}

@test "a dry run is the default, and says what would be played and what not" {
    run -0 timeout -k 5 60 kymo replay prod.kymo
    [[ $output == *"plan       prod.kymo: "*" calls of "*" processes"* ]]
    [[ $output == *"coverage   "*" % of calls, "*" % of bytes, "*" % of blocked time"* ]]
    [[ $output == *"tree  "* && $output == *"open  "* && $output == *"peers  "* ]]
    dry=$output
    run -0 timeout -k 5 60 kymo replay --dry-run prod.kymo
    [ "$output" = "$dry" ]
}

@test "every call of the slice is in its plan, and the same capture makes the same plan" {
    timeout -k 5 60 kymo replay --json prod.kymo >plan.json
    [ "$(jq .n_calls plan.json)" = "$(kymo cat -t syscall --jsonl prod.kymo | wc -l)" ]
    [ "$(jq '[.calls[].calls] | add' plan.json)" = "$(jq .n_calls plan.json)" ]
    jq -e '.coverage.calls >= 0 and .coverage.calls <= 1 and .coverage.injected <= 1' plan.json
    timeout -k 5 60 kymo replay --plan-out a.plan prod.kymo >/dev/null
    timeout -k 5 60 kymo replay --plan-out b.plan prod.kymo >/dev/null
    cmp a.plan b.plan
}

@test "a plan is read in place of a capture, and tells the same" {
    timeout -k 5 60 kymo replay --json --plan-out a.plan prod.kymo | jq -S '[.n_calls, .threads, .coverage]' >of-capture
    timeout -k 5 60 kymo replay --json a.plan | jq -S '[.n_calls, .threads, .coverage]' >of-plan
    cmp of-capture of-plan
    run -2 kymo replay --since 1s a.plan
    [[ $output == *"a plan is a slice already"* ]]
}

@test "a slice of a capture is a smaller plan" {
    all=$(timeout -k 5 60 kymo replay --json prod.kymo | jq .n_calls)
    part=$(timeout -k 5 60 kymo replay --json --since 10s --until 15s prod.kymo | jq .n_calls)
    [ "$part" -gt 0 ] && [ "$part" -lt "$all" ]
    [ "$part" = "$(kymo slice --since 10s --until 15s -w - prod.kymo 2>/dev/null | kymo cat -t syscall --jsonl - | wc -l)" ]
}

@test "--calls lists each call with what it waits for" {
    n=$(kymo cat -t syscall --jsonl prod.kymo | wc -l)
    timeout -k 5 60 kymo replay --calls prod.kymo >calls
    [ "$(grep -cE '^ +[0-9]+\.[0-9]{6}  (issue|inject|skip|fork|thread|exec|exit)  *[a-z]+ +[a-z0-9_?]+\(' calls)" = "$n" ]
    grep -q '^actor 1: thread [0-9]* of process 0, ' calls
}

@test "a damaged or foreign plan is refused, with the place" {
    timeout -k 5 60 kymo replay --plan-out a.plan prod.kymo >/dev/null
    cp a.plan bad.plan
    printf '\x5a' | dd of=bad.plan bs=1 seek=5000 conv=notrunc status=none
    run -3 kymo replay bad.plan
    [[ $output == *"the checksum is wrong"* ]]
    head -c 6000 a.plan >cut.plan
    run -3 kymo replay cut.plan
    [[ $output == *"not as long as it says"* ]]
    head -c 100 /dev/zero >none
    run -3 kymo replay none
    [ -n "$output" ]
}

@test "an existing plan is kept without --force" {
    echo mine >a.plan
    run -2 kymo replay --plan-out a.plan prod.kymo
    [ "$(cat a.plan)" = mine ]
    timeout -k 5 60 kymo replay --plan-out a.plan --force prod.kymo >/dev/null
    [ "$(head -c 8 a.plan)" = KYMOPLN1 ]
}

@test "mistakes in the options are told apart" {
    run -2 kymo replay
    [[ $output == *"which capture"* ]]
    run -2 kymo replay --run --dry-run prod.kymo
    run -2 kymo replay --timing fast prod.kymo
    [[ $output == *"original, afap or scale=X"* ]]
    run -2 kymo replay --timing scale=0 prod.kymo
    run -2 kymo replay --since 5s --until 2s prod.kymo
    run -2 kymo replay -m model.json prod.kymo
    [[ $output == *"go with --run"* ]]
    run -2 kymo replay --target localhost prod.kymo
    run -3 kymo replay nowhere.kymo
}

@test "a bound of processes is kept" {
    run kymo replay --max-processes 1 prod.kymo
    [ "$status" -ne 0 ]
    [[ $output == *"--max-processes"* ]]
}

@test "a torn capture is used up to its tear, and that is said" {
    head -c $(($(stat -c %s prod.kymo) * 3 / 4)) prod.kymo >torn.kymo
    run -0 --separate-stderr timeout -k 5 60 kymo replay torn.kymo
    [[ $stderr == *"warning: torn.kymo ends in mid-chunk; what came before is used"* ]]
    run -0 --separate-stderr timeout -k 5 60 kymo replay -q torn.kymo
    [ -z "$stderr" ]
}
