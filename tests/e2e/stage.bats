#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The stage as somebody else than root: the unit tests' plans, played by nobody.

setup() {
    as_nobody=$(mktemp -d)
    chmod 755 "$as_nobody"
    cp "$KYMO_BUILD"/tests/test_stage "$KYMO_BUILD"/tests/test_stage_{peers,hostile} "$KYMO_BUILD"/tests/bench_stage "$as_nobody"
    [ "$(id -u)" = 0 ] || skip "the tests run as somebody else than root already"
    nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
    timeout -k 5 10 $nobody unshare -Urpmf true || skip "nobody may not make namespaces here"
    cd /
}

teardown() { rm -rf "$as_nobody"; }

@test "an ordinary user's plans are played" {
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 120 $nobody "$as_nobody"/test_stage
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 120 $nobody "$as_nobody"/test_stage_peers
}

@test "an ordinary user's hostile plans leave nothing behind" {
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 500 $nobody "$as_nobody"/test_stage_hostile
}

@test "where namespaces are refused nothing is played, and it is said what would help" {
    timeout -k 5 20 unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces' || skip "no user namespace to try it in"
    run timeout -k 5 20 unshare -Ur sh -c "echo 0 >/proc/sys/user/max_user_namespaces; exec $as_nobody/bench_stage mix 10"
    [ "$status" = 4 ]
    [[ $output == *"no sandbox here"*"sysctl user.max_user_namespaces"* ]]
    [[ $output != *RESULT* ]]
}
