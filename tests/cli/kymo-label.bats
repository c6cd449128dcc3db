#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-label: names and verdicts of states.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
    $synth -w c.kymo --seconds 6 --phases idle,reads,storm
    kymo-featurize -q c.kymo -w f.kymo
    kymo-kmeans -q -k 3 f.kymo -w m.json
}

verdicts() { kymo-label m.json --json | tr -d ' \n' | grep -o '"label":"[^"]*","verdict":"[^"]*"' | sort | tr '\n' ' '; }

@test "a fresh model has states without name or verdict" {
    [ "$(kymo-label m.json | grep -c ' unknown ')" = 3 ]
}

@test "marks give each state its name, verdict, purity and evidence" {
    kymo-label -q m.json --marks f.kymo --verdict 'idle=good,reads=good' --bad storm
    [ "$(verdicts)" = '"label":"idle","verdict":"good" "label":"reads","verdict":"good" "label":"storm","verdict":"bad" ' ]
    [ "$(kymo-label m.json | grep -c '100%         6')" = 3 ]
}

@test "a state that no label reaches stays unknown" {
    kymo-label -q m.json --marks f.kymo --good idle --bad storm
    [[ $(verdicts) == *'"label":"","verdict":"unknown"'* ]]
}

@test "a name that no window lies in is refused, and the model stays as it was" {
    cp m.json before.json
    run kymo-label m.json --marks f.kymo --good idle,holiday
    [ "$status" = 3 ]
    [[ $output == *"'holiday'"*"good"* ]]
    cmp m.json before.json
}

@test "a state is named by hand, by number and by its label" {
    kymo-label -q m.json s0=quiet:good 1=noise:bad
    [[ $(verdicts) == *'"label":"quiet","verdict":"good"'* ]]
    kymo-label -q m.json quiet=:bad s1=quiet
    [ "$(verdicts)" = '"label":"","verdict":"unknown" "label":"quiet","verdict":"bad" "label":"quiet","verdict":"bad" ' ]
    # now the name belongs to two
    run kymo-label m.json quiet=:good
    [ "$status" = 2 ]
}

@test "labels come from a file of times" {
    printf 'start,end,entity,label,verdict\n0,6,,rest,good\n6,12,host,work,good\n1700000012,1700000018,,flood,bad\n' >l.csv
    kymo-label -q m.json --labels l.csv --matrix f.kymo
    [ "$(verdicts)" = '"label":"flood","verdict":"bad" "label":"rest","verdict":"good" "label":"work","verdict":"good" ' ]
    printf 'start,end,entity,label,verdict\n0,6,,rest,fine\n' >bad.csv
    run kymo-label m.json --labels bad.csv --matrix f.kymo
    [ "$status" = 3 ]
    [[ $output == *"line 2"* ]]
}

@test "mistakes in words are usage mistakes" {
    for word in nothing s9=x:good s0=x:fine; do
        run kymo-label m.json "$word"
        [ "$status" = 2 ]
    done
    run kymo-label m.json --marks f.kymo
    [ "$status" = 2 ]
    run kymo-label
    [ "$status" = 2 ]
}

@test "-w writes beside, and the model keeps its bytes" {
    cp m.json before.json
    kymo-label -q m.json s0=quiet:good -w named.json
    cmp m.json before.json
    grep -q '"label": "quiet"' named.json
}

@test "what is no model, or of other features, is refused with 3" {
    echo '{}' >empty.json
    echo 'no json' >text.json
    sed '/"kymo-features"/{n;s/[0-9][0-9]*/99/}' m.json >future.json
    sed 's/"spread": [0-9.e-]*/"spread": -1.0/' m.json >negative.json
    sed 's/"mean": [-0-9.e]*/"mean": 1e999/' m.json >huge.json
    for f in empty text future negative huge missing; do
        run kymo-label $f.json
        [ "$status" = 3 ]
        [ "${#lines[@]}" = 1 ]
    done
}

@test "a matrix of other windows does not vote" {
    kymo-featurize -q --window 2s c.kymo -w two.kymo
    run kymo-label m.json --marks two.kymo --good idle
    [ "$status" = 3 ]
    [[ $output == *"windows of 2 s"* ]]
}
