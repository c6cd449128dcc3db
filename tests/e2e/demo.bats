#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The demo where the host cannot be recorded, and the captures it falls back on. (The live demo takes
# minutes: make demo.)

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    command -v jq >/dev/null || skip "jq is not installed"
}

@test "without a kernel to look into, the demo does the whole job from the shipped captures" {
    # In a pid namespace of its own, no recorder starts.
    unshare -p -f --mount-proc true 2>/dev/null || skip "no pid namespace can be made here"
    KYMO_DEMO_DIR=$BATS_TEST_TMPDIR/demo run timeout -k 5 60 unshare -p -f --mount-proc "$root/datasets/demo.sh"
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[0]} == *"cannot be recorded"* ]]
    [[ $output == *"normal.kymo"*"PASS"*"(exit 0)"* ]]
    [[ $output == *"trouble.kymo"*"FAIL"*"(exit 1)"* ]]
    [ "$(grep -c '^RESULT ' <<<"$output")" = 6 ]
    accuracy=$(sed -n 's/^RESULT demo_window_accuracy \([0-9.]*\) .*/\1/p' <<<"$output")
    awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.9) }'
}

@test "the shipped captures are those that their list describes" {
    cd "$root/datasets"
    for f in tiny/*.kymo; do
        grep -q "\`$f\` | $(stat -c %s "$f") |" README.md
        grep -q "\`$(sha256sum <"$f" | cut -d' ' -f1)\` | \`$f\`" README.md
        [ "$(stat -c %s "$f")" -le 65536 ]
        "$KYMO_BIN/kymo" check "$f"
    done
}
