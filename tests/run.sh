#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/run.sh [PART...]: run every test that was built, or the named parts of it:
# lint, unit, asan, corpus, cli, e2e, install, vm; or files such as tests/cli/kymo.bats.
#
# Goes on after a failure, prints what failed and why, says what it skipped and why, and ends with the
# line "N passed, N failed, N skipped"; its status is 1 if anything failed.
set -u
cd "$(dirname "$0")/.." || exit 3

export KYMO_BUILD=${KYMO_BUILD:-$PWD/build/release}
export KYMO_BIN=${KYMO_BIN:-$KYMO_BUILD/bin}
export KYMO_SHARED=${KYMO_SHARED:-$(cd .. && pwd)/shared}
export LC_ALL=C.UTF-8 TZ=UTC
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
# OpenBLAS is set to one thread by those who call it; tests share the machine.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
asan=build/asan
unit_s=240
e2e_s=600
[ -z "${KYMO_LONG-}" ] || unit_s=3600 e2e_s=10800 # the sweeps in full
logs=build/check
mkdir -p $logs

passed=0 failed=0 skipped=0
skips=()

pass() { passed=$((passed + $1)); }
fail() { # NAME WHY [LOG]
    failed=$((failed + 1))
    printf '  FAILED %s: %s\n' "$1" "$2"
    [ $# -lt 3 ] || tail -n 40 "$3" | sed 's/^/    | /'
}
skip() { # NAME WHY
    skipped=$((skipped + 1))
    skips+=("$1: $2")
}

# Count the TAP lines of one file's log. Failures are printed with the lines that explain them.
count_tap() { # NAME LOG STATUS
    local name=$1 log=$2 status=$3 good bad why
    good=$(grep -cE '^ok [0-9]+' "$log")
    bad=$(grep -cE '^not ok [0-9]+' "$log")
    while IFS= read -r line; do
        why=${line#*# [Ss][Kk][Ii][Pp]}
        skip "$name" "$(sed -E 's/^ok [0-9]+ *-? *//; s/ *# *[Ss][Kk][Ii][Pp].*//' <<<"$line")${why:+ (${why# })}"
        good=$((good - 1))
    done < <(grep -iE '^ok [0-9]+.*# *skip' "$log")
    pass "$good"
    failed=$((failed + bad))
    printf '  %-34s %s passed%s\n' "$name" "$good" "$([ "$bad" = 0 ] || echo ", $bad FAILED")"
    if [ "$bad" != 0 ]; then
        # cmocka explains a failure before its line, bats after it.
        awk '/^not ok/ { for (i in held) ; for (i = 0; i < n; i++) print held[i]; print; n = 0; after = 1; next }
             /^ok/     { n = 0; after = 0; next }
             after && /^#/ { print; next }
                       { after = 0; if (n < 30) held[n++] = $0 }' "$log" | sed 's/^/    | /'
    elif [ "$status" != 0 ]; then
        fail "$name" "ended with status $status$([ "$status" -lt 124 ] || echo ' (124: took too long, 134: aborted, 137: killed)')" "$log"
    elif ! grep -qE '^1\.\.[0-9]+' "$log"; then
        fail "$name" "reported no tests" "$log"
    fi
}

run_cmocka() { # FOLDER LABEL
    local t log status
    for t in "$1"/tests/test_*; do
        case $t in *.d | *'*') continue ;; esac
        log=$logs/$2-$(basename "$t").log
        CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 $unit_s "$t" >"$log" 2>&1
        status=$?
        count_tap "$2 $(basename "$t")" "$log" $status
    done
}

run_bats() { # FILE SECONDS
    local log=$logs/bats-$(basename "$1" .bats).log status
    timeout -k 20 "$2" bats --tap "$1" >"$log" 2>&1 </dev/null
    status=$?
    count_tap "${1#tests/}" "$log" $status
}

run_lint() { # SCRIPT
    local log=$logs/lint-$(basename "$1" .sh).log status
    timeout -k 10 480 bash "$1" >"$log" 2>&1
    status=$?
    case $status in
    0) pass 1; printf '  %-34s 1 passed\n' "${1#tests/}" ;;
    77) skip "${1#tests/}" "$(tail -n 1 "$log")" ;;
    *) fail "${1#tests/}" "status $status" "$log" ;;
    esac
}

# Each file of a parser's corpus, and each file cut short, through the fuzzer's own harness.
run_corpus() {
    local t name log status
    for t in "$KYMO_BUILD"/tests/replay_fuzz_* "$asan"/tests/replay_fuzz_*; do
        [ -x "$t" ] || continue
        name=${t##*/replay_fuzz_}
        log=$logs/corpus-$(basename "$(dirname "$(dirname "$t")")")-$name.log
        if ! ls tests/fuzz/corpus/"$name"/* >/dev/null 2>&1; then
            fail "corpus $name" "tests/fuzz/corpus/$name holds nothing"
            continue
        fi
        timeout -k 10 240 "$t" tests/fuzz/corpus/"$name" >"$log" 2>&1
        status=$?
        if [ $status = 0 ]; then
            pass 1
            printf '  %-34s 1 passed (%s)\n' "corpus $name" "$(tail -n 1 "$log")"
        else
            fail "corpus $name" "status $status" "$log"
        fi
    done
}

# The recorder on other kernels. A machine takes some 50 s; where all is slow, those are left that would keep the
# rest of the tests waiting for more than three minutes (KYMO_VM_TOTAL_S).
run_vm() {
    local kernel log status from=$SECONDS
    for kernel in cloud rt new; do
        log=$logs/vm-$kernel.log
        if [ $((SECONDS - from)) -gt "${KYMO_VM_TOTAL_S:-125}" ]; then
            skip "vm $kernel" "no time is left; make check-vm takes it"
            continue
        fi
        timeout -k 10 400 tests/vm/run.sh $kernel >"$log" 2>&1 </dev/null
        status=$?
        if [ $status = 77 ]; then
            skip "vm $kernel" "$(tail -n 1 "$log")"
        else
            count_tap "vm $kernel" "$log" $status
        fi
    done
}

part() {
    local f
    case $1 in
    lint) for f in tests/lint/*.sh; do run_lint "$f"; done ;;
    unit) run_cmocka "$KYMO_BUILD" unit ;;
    asan) run_cmocka $asan asan ;;
    corpus) run_corpus ;;
    cli) for f in tests/cli/*.bats; do [ ! -e "$f" ] || run_bats "$f" 240; done ;;
    e2e) for f in tests/e2e/*.bats; do [ ! -e "$f" ] || run_bats "$f" $e2e_s; done ;;
    vm) run_vm ;;
    *.bats) run_bats "$1" $e2e_s ;;
    *.sh) run_lint "$1" ;;
    *) fail "$1" "no such part of the tests" ;;
    esac
}

[ $# -gt 0 ] || set -- lint unit asan corpus cli e2e vm
for p in "$@"; do
    part "$p"
done
[ ${#skips[@]} = 0 ] || printf '  SKIP %s\n' "${skips[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
