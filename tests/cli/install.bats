#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What `make install` puts down works from there: programs, manual pages, and the library for C and C++.

bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export root=$BATS_FILE_TMPDIR/root
    unset MAKEFLAGS MAKELEVEL MFLAGS
    make install DESTDIR="$root" prefix=/usr
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    # the paths in kymo.pc are those of the system it was staged for
    export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig
    flags=$(pkg-config --define-variable=prefix="$root/usr" --cflags --libs kymo)
}

@test "the installed front finds the installed verbs and their pages lie beside" {
    [ "$("$root/usr/bin/kymo" --list | wc -l)" -ge 3 ]
    for verb in $("$root/usr/bin/kymo" --list); do
        [ -s "$root/usr/share/man/man1/kymo-$verb.1" ]
    done
    bash -n "$root/usr/share/bash-completion/completions/kymo"
}

@test "ten lines of C read a capture through kymo.h and libkymo.a" {
    cat >ten.c <<'END'
#include <kymo.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct kymo_err err = {KYMO_OK, 0, ""};
    kymo_reader *r;
    if (argc < 2 || kymo_reader_open(&r, argv[1], 0, &err))
        return printf("%s: %s\n", kymo_status_name(err.code), err.text) < 0 ? 6 : 3;
    kymo_reader_close(r);
    return 0;
}
END
    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -o ten ten.c $flags
    run -3 ./ten /nonexistent
    [[ "$output" == "unreadable input: "* ]]
}

@test "ten lines of C++ do the same" {
    command -v g++ >/dev/null || skip "g++ is not installed"
    cat >ten.cc <<'END'
#include <kymo.h>
#include <iostream>
int main(int argc, char **argv)
{
    kymo_err err{};
    kymo_reader *r = nullptr;
    if (argc < 2 || kymo_reader_open(&r, argv[1], 0, &err)) {
        std::cout << kymo_status_name(err.code) << ": " << err.text << "\n";
        return 3;
    }
    kymo_reader_close(r);
}
END
    g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -o ten ten.cc $flags
    run -3 ./ten /nonexistent
    [[ "$output" == "unreadable input: "* ]]
}

@test "uninstall takes away every file that install put down" {
    cp -r "$root" copy
    unset MAKEFLAGS MAKELEVEL MFLAGS
    make -C "$BATS_TEST_DIRNAME/../.." uninstall DESTDIR="$PWD/copy" prefix=/usr
    [ "$(find copy -type f)" = "" ]
}
