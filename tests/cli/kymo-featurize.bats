#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-featurize: captures into windows.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
}

@test "a capture of five phases of three seconds has fifteen windows" {
    $synth -w c.kymo --seconds 3
    kymo-featurize -q c.kymo -w f.csv
    [ "$(wc -l <f.csv)" = 16 ]
    head -1 f.csv | grep -q '^ts,dur,real,capture,entity,events,lost,call.read,'
}

@test "rates are those of the phase" {
    $synth -w c.kymo --seconds 4 --phases diskfull
    kymo-featurize -q c.kymo -w f.csv
    # 1500 calls a second, a third of them pwrite64, of which nine in ten find the disk full
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
             { n++; e += $at["error.ENOSPC"]; p += $at["call.pwrite"] }
             END { exit !(n == 4 && e / n > 400 && e / n < 550 && p > e) }' f.csv
}

@test "the same capture gives the same bytes, and the pipe gives what the file gives" {
    $synth -w c.kymo --seconds 2
    kymo-featurize -q c.kymo -w a.kymo
    kymo-featurize -q c.kymo -w b.kymo
    cmp a.kymo b.kymo
    kymo-featurize -q - -w - --format csv <c.kymo >piped.csv
    kymo-featurize -q c.kymo -w direct.csv
    cmp piped.csv direct.csv
}

@test "several captures make one matrix, each row with its capture's number" {
    $synth -w a.kymo --seconds 2 --phases idle
    $synth -w b.kymo --seconds 3 --phases reads
    kymo-featurize -q a.kymo b.kymo -w f.csv
    [ "$(cut -d, -f4 f.csv | sort | uniq -c | awk '/[01]$/ { print $1 }' | tr '\n' ' ')" = "2 3 " ]
}

@test "windows by comm are about programs" {
    $synth -w c.kymo --seconds 2 --phases reads
    kymo-featurize -q --by comm c.kymo -w f.csv
    [ "$(sed 1d f.csv | cut -d, -f5 | sort -u)" = server ]
}

@test "npy holds one float64 a feature and window" {
    $synth -w c.kymo --seconds 2 --phases reads
    kymo-featurize -q c.kymo -w f.npy
    d=$(kymo-featurize --list | sed 1d | wc -l)
    head -c 128 f.npy | grep -aq "'descr': '<f8', 'fortran_order': False, 'shape': (2, $d)"
    [ "$(stat -c %s f.npy)" = $((128 + 2 * d * 8)) ]
}

@test "an existing output is refused without --force and left as it was" {
    $synth -w c.kymo --seconds 1
    echo mine >f.kymo
    run kymo-featurize c.kymo -w f.kymo
    [ "$status" = 2 ]
    [ "$(cat f.kymo)" = mine ]
    run kymo-featurize missing.kymo -w f.kymo --force
    [ "$status" = 3 ]
    [ "$(cat f.kymo)" = mine ]
}

@test "what is no capture is refused with 3 and one line" {
    echo "just text, long enough to hold a header" >text.kymo
    mkdir folder.kymo
    : >empty.kymo
    for f in text.kymo folder.kymo empty.kymo missing.kymo; do
        run kymo-featurize "$f" -w out.kymo
        [ "$status" = 3 ]
        [ "${#lines[@]}" = 1 ]
        [ ! -e out.kymo ]
    done
}

@test "a feature matrix is no capture" {
    $synth -w c.kymo --seconds 1
    kymo-featurize -q c.kymo -w f.kymo
    run kymo-featurize f.kymo -w g.kymo
    [ "$status" = 3 ]
    [[ $output == *"matrix already"* ]]
}

@test "a capture cut short is used up to its tear, with a warning" {
    $synth -w c.kymo --seconds 3 --phases reads
    head -c $(($(stat -c %s c.kymo) - 3000)) c.kymo >torn.kymo
    run kymo-featurize torn.kymo -w f.csv
    [ "$status" = 0 ]
    [[ $output == *"ends in mid-chunk"* ]]
    [ "$(wc -l <f.csv)" -ge 3 ]
}

@test "options that make no sense are usage mistakes" {
    $synth -w c.kymo --seconds 1
    for args in "--window 3s --step 2s" "--window 0" "--by nothing" "--step 2s"; do
        run kymo-featurize $args c.kymo -w f.kymo
        [ "$status" = 2 ]
    done
    run kymo-featurize -w f.kymo
    [ "$status" = 2 ]
    run kymo-featurize c.kymo
    [ "$status" = 2 ]
}

@test "the list says of every feature what it is, as text and as JSON" {
    kymo-featurize --list >text
    kymo-featurize --list --json >list.json
    command -v python3 >/dev/null || skip "no python3 to read the list with"
    python3 - <<'END'
import json
columns = json.load(open("list.json"))["columns"]
lines = open("text").read().splitlines()[1:]
assert len(columns) == len(lines) <= 512
for c, line in zip(columns, lines):
    assert line.startswith(c["name"]) and c["about"] in line and len(c["about"]) > 8
    assert c["transform"] and c["group"] and c["from"] and c["weight"] > 0
assert len({c["name"] for c in columns}) == len(columns)
END
    run kymo-featurize --json x.kymo -w y
    [ "$status" = 2 ]
}

@test "any number of threads gives the same bytes" {
    $synth -w c.kymo --seconds 2
    kymo-featurize -q c.kymo -w one.kymo
    for j in 2 5; do
        kymo-featurize -q -j $j c.kymo -w many.kymo --force
        cmp one.kymo many.kymo
    done
    kymo-featurize -q --fit-on c.kymo c.kymo -w one.kymo --force
    kymo-featurize -q -j 3 --fit-on c.kymo c.kymo -w many.kymo --force
    cmp one.kymo many.kymo
}

@test "every kind of entity has windows, and what is not known is said to be unknown" {
    $synth -w c.kymo --seconds 2 --phases reads
    for by in host cgroup container pod exe comm process; do
        kymo-featurize -q --by $by c.kymo -w f.csv --force
        [ "$(wc -l <f.csv)" -ge 3 ]
    done
    kymo-featurize -q --by pod c.kymo -w f.csv --force
    [ "$(sed 1d f.csv | cut -d, -f5 | sort -u)" = unknown ]
}

# The sum of a column.
column_sum() {
    awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }
                          { sum += $at } END { print sum + 0 }' "$2"
}

@test "new is what the captures of --fit-on did not have, and nothing is without them" {
    $synth -w good.kymo --seconds 3 --phases idle,reads
    $synth -w odd.kymo --seconds 3 --phases reads,storm
    kymo-featurize -q good.kymo -w f.csv
    [ "$(column_sum new.sequences f.csv)" = 0 ]
    kymo-featurize -q --fit-on good.kymo good.kymo -w f.csv --force
    [ "$(column_sum new.sequences f.csv)" = 0 ]
    kymo-featurize -q --fit-on good.kymo odd.kymo -w f.csv --force
    [ "$(column_sum new.sequences f.csv)" != 0 ]
    kymo-featurize -q --fit-on good.kymo --fit-on odd.kymo odd.kymo -w f.csv --force
    [ "$(column_sum new.sequences f.csv)" = 0 ]
    # NaN never leaves
    ! grep -qi 'nan\|inf' <(sed 1d f.csv)
}

@test "what was frozen goes with the matrix into the model, and a capture is scored by it" {
    $synth -w good.kymo --seconds 10 --phases idle,reads
    $synth -w odd.kymo --seconds 5 --phases reads,storm --seed 3
    kymo-featurize -q --fit-on good.kymo good.kymo -w f.kymo
    kymo-kmeans -q f.kymo -w m.json
    grep -q '"vocabulary": {' m.json
    kymo-label -q m.json --marks f.kymo --good idle,reads
    # the model's own definition makes of a capture what featurize made
    kymo-featurize -q --fit-on good.kymo odd.kymo -w odd.features.kymo
    kymo-score -m m.json --jsonl odd.kymo >a || true
    kymo-score -m m.json --jsonl odd.features.kymo >b || true
    [ "$(wc -l <a)" = 11 ]
    cmp a b
    # and a matrix of another one is refused
    kymo-featurize -q odd.kymo -w bare.kymo
    run kymo-score -m m.json bare.kymo
    [ "$status" = 3 ]
    [[ $output == *"--fit-on"* ]]
    # so is one that was tampered with
    sed 's/"idf": \[[^,]*/"idf": [0.25/' m.json >bad.json
    run kymo-score -m bad.json odd.kymo
    [ "$status" = 3 ]
    [[ $output == *idf* ]]
}

@test "a matrix or model of an older definition is refused, and what to do is said" {
    $synth -w c.kymo --seconds 6
    kymo-featurize -q c.kymo -w f.kymo
    kymo-kmeans -q f.kymo -w m.json
    sed '/"kymo-features"/{n;s/[0-9][0-9]*/1/}' m.json >old.json
    run kymo-score -m old.json c.kymo
    [ "$status" = 3 ]
    [[ $output == *"version 1"*"train again"* ]]
}

@test "captures that --fit-on cannot learn from are refused" {
    $synth -w c.kymo --seconds 1
    kymo-featurize -q c.kymo -w f.kymo
    for f in f.kymo missing.kymo; do
        run kymo-featurize --fit-on $f c.kymo -w g.kymo
        [ "$status" = 3 ]
        [ "${#lines[@]}" = 1 ]
        [ ! -e g.kymo ]
    done
}

@test "a capture of counts gives what counts tell, and says how much they do not" {
    counts=$BATS_TEST_DIRNAME/../fuzz/corpus/feature/counts
    kymo-featurize "$counts" -w f.kymo 2>said
    grep -q 'has no row for each call: [0-9]* features are 0 and say nothing' said
    # calls, counts, processes and descriptors were there
    kymo cat --jsonl -t capture f.kymo | grep -q '"from":15'
    kymo-featurize -q "$counts" -w f.csv
    [ "$(column_sum call.read f.csv)" = 2003 ]
    [ "$(column_sum error.EAGAIN f.csv)" = 14 ]
    [ "$(column_sum open.sockets f.csv)" = 4 ]
    # a model of whole captures is told what it misses
    $synth -w c.kymo --seconds 6
    kymo-featurize -q c.kymo -w c.f.kymo
    kymo-kmeans -q c.f.kymo -w m.json
    run kymo-score -m m.json "$counts"
    [[ $output == *"does not tell "*" of the model's "*" features"* ]]
    run kymo-score -m m.json c.kymo
    [[ $output != *"does not tell"* ]]
}
