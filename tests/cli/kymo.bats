#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The front: finds its verbs, says what they are for, completes them.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    folder=$BATS_TEST_TMPDIR/bin
    mkdir "$folder"
    cp "$KYMO_BIN/kymo" "$folder"
    cat >"$folder/kymo-toy" <<'TOY'
#!/bin/sh
case $1 in
--help) printf 'kymo-toy - play with a toy\n\nusage: kymo-toy\n' ;;
--help=words) printf -- '--color\tauto|always|never\tcolours\n--count\tN\thow many\n' ;;
*) printf '%s\n' "$0" "$@"; exit 7 ;;
esac
TOY
    chmod +x "$folder/kymo-toy"
}

@test "a verb becomes the program beside the front, with its arguments and its status" {
    run -7 "$folder/kymo" toy -k 'a b' --help=other
    [ "${lines[0]}" = "$folder/kymo-toy" ]
    [ "${lines[1]}" = -k ]
    [ "${lines[2]}" = "a b" ]
    [ "${lines[3]}" = --help=other ]
}

@test "a verb that does not lie beside the front is found on PATH" {
    mkdir "$BATS_TEST_TMPDIR/other"
    mv "$folder/kymo-toy" "$BATS_TEST_TMPDIR/other"
    PATH=$BATS_TEST_TMPDIR/other:$PATH run -7 "$folder/kymo" toy
    [ "${lines[0]}" = "$BATS_TEST_TMPDIR/other/kymo-toy" ]
}

@test "the front is found through a symbolic link, and its verbs with it" {
    ln -s "$folder/kymo" "$BATS_TEST_TMPDIR/kymo"
    run -7 "$BATS_TEST_TMPDIR/kymo" toy
    [ "${lines[0]}" = "$folder/kymo-toy" ]
}

@test "kymo, kymo help and kymo --help list the verbs with their summaries" {
    for words in "" help --help -h; do
        run -0 "$folder/kymo" $words
        [[ "$output" == *"  toy            play with a toy"* ]]
    done
}

@test "every verb that was built has a summary" {
    run -0 kymo help
    [ "$(kymo --list | wc -l)" -ge 3 ]
    for verb in $(kymo --list); do
        grep -qE "^  $verb +[^ ]" <<<"$output"
    done
}

@test "every tool answers --version, --help, --help=words and --help=mdoc, and refuses an unknown option" {
    for verb in $(kymo --list); do
        run -0 timeout -k 5 20 kymo "$verb" --version
        [[ "$output" == "kymo-$verb "[0-9]* ]]
        run -0 timeout -k 5 20 kymo "$verb" --help
        [[ "$output" == *"Examples:"* ]]
        run -0 timeout -k 5 20 kymo "$verb" --help=words
        [[ "$output" == *"--help"* ]]
        run -0 timeout -k 5 20 kymo "$verb" --help=mdoc
        [[ "${lines[0]}" == ".Sh SYNOPSIS" ]]
        run -2 --separate-stderr timeout -k 5 20 kymo "$verb" --no-such-option
        [ "$output" = "" ]
        [ "${#stderr_lines[@]}" = 1 ]
    done
}

@test "kymo help VERB shows the verb's help when there is no terminal" {
    run -0 "$folder/kymo" help toy
    [ "${lines[0]}" = "kymo-toy - play with a toy" ]
}

@test "an unknown verb names the nearest and is a usage mistake" {
    run -2 --separate-stderr "$folder/kymo" tyo
    [ "$output" = "" ]
    [[ "$stderr" == *'did you mean toy?'* ]]
    run -2 "$folder/kymo" help tyo
    run -2 "$folder/kymo" ../bin/kymo-toy
    run -2 "$folder/kymo" --no-such-option
}

@test "a verb that is no program is no verb" {
    chmod -x "$folder/kymo-toy"
    mkdir "$folder/kymo-folder"
    run -2 "$folder/kymo" toy
    run -0 "$folder/kymo" --list
    [ "$output" = "" ]
}

@test "--version is the version of kymo.h" {
    run -0 kymo --version
    [ "$output" = "kymo $(sed -n 's/^#define KYMO_VERSION "\(.*\)"/\1/p' "$BATS_TEST_DIRNAME/../../format/kymo.h")" ]
}

@test "a full disk under stdout is a failed output" {
    [ -e /dev/full ] || skip "no /dev/full here"
    for option in --version --list --help; do
        run -6 --separate-stderr bash -c "'$folder/kymo' $option >/dev/full"
        [[ "$stderr" == *"cannot write standard output"* ]]
    done
}

complete_words() { # WORDS...: what bash would offer for the last one
    bash -c '
        eval "$(kymo --completion bash)"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _kymo
        echo "${COMPREPLY[*]}"' _ "$@"
}

@test "bash completes verbs, options and the words an option takes" {
    PATH=$folder:$PATH
    [ "$(complete_words kymo to)" = toy ]
    [ "$(complete_words kymo help to)" = toy ]
    [ "$(complete_words kymo toy --co)" = "--color --count" ]
    [ "$(complete_words kymo toy --color a)" = "auto always" ]
    [ "$(complete_words kymo toy file)" = "" ]
}

@test "zsh's completion is a script that zsh can read" {
    run -0 kymo --completion zsh
    [ "${lines[0]}" = "#compdef kymo" ]
    command -v zsh >/dev/null || skip "zsh is not installed"
    kymo --completion zsh | zsh -n
}
