#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-synth: states of a model, and captures, generated anew; and judged as recordings are.

setup_file() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    export make=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    export tiny=$PWD/datasets/tiny
    export PATH=$bin:$PATH
    cd "$BATS_FILE_TMPDIR"
    $make -w train.kymo --seconds 20
    kymo-featurize -q --sequence train.kymo -w f.kymo
    kymo-kmeans -q f.kymo -w m.json
    kymo-label -q m.json --marks f.kymo --good idle,reads,writes --bad storm,diskfull
}

setup() { cd "$BATS_FILE_TMPDIR"; }

# The share of windows with this label, in percent.
share() { # CAPTURE LABEL
    kymo-score -m m.json --jsonl "$1" 2>/dev/null |
        jq -s --arg l "$2" '[.[] | select(.type == "window")] | 100 * ([.[] | select(.label == $l)] | length) / length | floor'
}

@test "every state comes out as itself" {
    for state in idle reads writes storm diskfull; do
        timeout -k 5 60 kymo-synth -q -m m.json --state $state -d 10s -w $state.kymo
        kymo-check $state.kymo
        got=$(share $state.kymo $state)
        echo "$state: $got %"
        [ "$got" -ge 90 ]
    done
}

@test "what a bad state is like fails the run, what a good one is like passes" {
    kymo-synth -q -m m.json --state storm -d 5s -w - | {
        run kymo-score -m m.json -
        [ "$status" = 1 ]
    }
    kymo-synth -q -m m.json --state reads -d 5s -w - | {
        run kymo-score -m m.json -
        [ "$status" = 0 ]
    }
}

@test "the rate is that of the recording, within a tenth, or as many times it as is asked for" {
    kymo-synth -m m.json --state reads -d 10s -w one.kymo -q --json >one.json
    jq -e '.calls_per_s > 0.9 * .aim_per_s and .calls_per_s < 1.1 * .aim_per_s' one.json
    jq -e '.aim_per_s > 2700 and .aim_per_s < 3300' one.json
    kymo-synth -m m.json --state reads -d 10s --rate x3 -w three.kymo -q --json >three.json
    jq -e '.calls_per_s > 8000 and .calls_per_s < 10000' three.json
}

@test "the same seed gives the same bytes, another one others" {
    kymo-synth -q -m m.json --state writes -d 3s --seed 7 -w a.kymo
    kymo-synth -q -m m.json --state writes -d 3s --seed 7 -w - >b.kymo
    kymo-synth -q -m m.json --state writes -d 3s --seed 8 -w c.kymo
    cmp a.kymo b.kymo
    run cmp -s a.kymo c.kymo
    [ "$status" = 1 ]
}

@test "from a real capture, or from what a mark spans in it" {
    timeout -k 5 60 kymo-synth "$tiny/train.kymo" --mark storm -d 5s -w r.kymo
    kymo-check r.kymo
    run kymo-stat --by comm r.kymo
    [[ $output == *redis-server* ]]
    run kymo-stat --by syscall r.kymo
    [[ $output == *accept4* ]]
    run kymo-synth -q "$tiny/train.kymo" --mark flood -d 5s -w never.kymo
    [ "$status" = 3 ]
    [[ $output == *"no span marked 'flood'"* ]]
    [ ! -e never.kymo ]
}

@test "a capture from a pipe, or its first seconds" {
    kymo-synth -q - -d 2s -w p.kymo <train.kymo
    kymo-check p.kymo
    kymo-synth train.kymo --until 20s -d 5s -w idle1.kymo -q --json >i.json
    jq -e '.calls_per_s > 30 and .calls_per_s < 50' i.json
    run kymo-synth -q - --mark storm -d 2s -w never.kymo <train.kymo
    [ "$status" = 2 ]
}

@test "label, and another label, keep the sequences" {
    jq -S .sequence m.json >before
    [ "$(jq '[.sequence.states[] | select(. != null)] | length' m.json)" -ge 5 ]
    cp m.json m2.json
    kymo-label -q m2.json 0=first:good
    jq -S .sequence m2.json >after
    cmp before after
    kymo-synth -q -m m2.json --state first -d 2s -w first.kymo
}

@test "a model without sequences says what to do" {
    kymo-featurize -q train.kymo -w plain.kymo
    kymo-kmeans -q plain.kymo -w plain.json
    run kymo-synth -m plain.json --state s0 -w x.kymo
    [ "$status" = 3 ]
    [[ $output == *"featurize with --sequence"* ]]
    [ ! -e x.kymo ]
}

@test "sequences change no feature, and no state" {
    kymo-featurize -q train.kymo -w plain2.kymo
    kymo-kmeans -q plain2.kymo -w plain2.json
    kymo-kmeans -q f.kymo -w with.json
    jq -S 'del(.sequence)' with.json >with
    jq -S . plain2.json >without
    cmp with without
}

@test "--sequence wants a .kymo matrix" {
    run kymo-featurize -q --sequence train.kymo -w f.csv
    [ "$status" = 2 ]
    [[ $output == *".kymo matrix"* ]]
}

@test "a section that no fit gives is refused" {
    jq '.sequence.states[0].roles[0].conduct[0] = "t 1 2"' m.json >bad.json
    run kymo-synth -m bad.json --state s0 -w x.kymo
    [ "$status" = 3 ]
    [[ $output == *"no line of a sequence"* ]]
    jq '.sequence.version = 9' m.json >bad.json
    run kymo-synth -m bad.json --state s0 -w x.kymo
    [ "$status" = 3 ]
    [ ! -e x.kymo ]
}

@test "mistakes in the options" {
    for args in "" "-m m.json" "--state s0" "train.kymo -m m.json --state s0 -w x.kymo" "train.kymo" \
        "-m m.json --state s0 --since 1s -w x.kymo" "train.kymo --rate fast -w x.kymo" \
        "train.kymo --since 5s --until 4s -w x.kymo" "-m m.json --state nowhere -w x.kymo"; do
        run kymo-synth $args
        [ "$status" = 2 ]
    done
    touch there.kymo
    run kymo-synth -q train.kymo -d 1s -w there.kymo
    [ "$status" = 2 ]
    kymo-synth -q train.kymo -d 1s -w there.kymo --force
}
