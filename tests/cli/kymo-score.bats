#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-score: from a labelled model to a verdict; and the whole way there.

truth='idle=good,reads=good,writes=good,storm=bad,diskfull=bad'

setup_file() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    export synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    export PATH=$bin:$PATH
    cd "$BATS_FILE_TMPDIR"
    $synth -w train.kymo --seconds 20
    kymo-featurize -q train.kymo -w f.kymo
    kymo-kmeans -q f.kymo -w m.json
    kymo-label -q m.json --marks f.kymo --verdict "$truth"
    $synth -w good.kymo --seed 5 --seconds 10 --phases writes,idle,reads
    $synth -w bad.kymo --seed 6 --seconds 10 --phases reads,storm,writes,diskfull
}

setup() { cd "$BATS_FILE_TMPDIR"; }

@test "a good run passes" {
    run kymo-score -m m.json good.kymo
    [ "$status" = 0 ]
    [[ ${lines[-1]} == PASS:*"30 windows: 30 good, 0 bad, 0 unknown, 0 inconclusive" ]]
}

@test "a troubled run fails, and says which state and why" {
    run kymo-score -m m.json bad.kymo
    [ "$status" = 1 ]
    [[ ${lines[-1]} == "FAIL: bad 50.0% passes 5%"* ]]
    [[ $output == *"diskfull  error.ENOSPC "*"/s, usually 0/s"* ]]
    [[ $output == *"storm  "*"error.ECONNREFUSED"* ]]
}

@test "verdicts agree with the truth of the marks" {
    run kymo-score -m m.json bad.kymo --evaluate --verdict "$truth" --json
    [ "$status" = 1 ]
    [[ $output == *'"balanced_accuracy":1,'* ]]
    [[ $output == *'"windows":10,"right":10,"name":"storm","verdict":"bad","accuracy":1}'* ]]
}

@test "scoring again gives the same bytes, from a file, a pipe and a matrix" {
    kymo-score -m m.json --jsonl bad.kymo >a || true
    kymo-score -m m.json --jsonl - <bad.kymo >b || true
    kymo-featurize -q bad.kymo -w bad.features.kymo
    kymo-score -m m.json --jsonl bad.features.kymo >c || true
    [ "$(wc -l <a)" = 41 ]
    cmp a b
    cmp a c
}

@test "behaviour that no state had is unknown" {
    # a quiet model has seen neither storms nor full disks
    $synth -w quiet.kymo --seconds 60 --phases idle,reads
    kymo-featurize -q quiet.kymo -w qf.kymo
    kymo-kmeans -q -k 2 qf.kymo -w qm.json
    kymo-label -q qm.json --marks qf.kymo --good idle,reads
    $synth -w new.kymo --seconds 5 --phases storm,diskfull
    run kymo-score -m qm.json new.kymo
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"0 good, 0 bad, 10 unknown"* ]]
}

@test "windows that lost too much are inconclusive, and a run of them is 7" {
    $synth -w lossy.kymo --seconds 5 --phases reads,idle --lose reads
    run kymo-score -m m.json lossy.kymo
    [ "$status" = 0 ]
    [[ ${lines[-1]} == *"5 good, 0 bad, 0 unknown, 5 inconclusive" ]]
    $synth -w all.kymo --seconds 5 --phases reads --lose reads
    run kymo-score -m m.json all.kymo
    [ "$status" = 7 ]
    [[ ${lines[-1]} == INCONCLUSIVE:* ]]
}

@test "rules are shares or numbers" {
    run kymo-score -q -m m.json --fail-on 'bad>60%' bad.kymo
    [ "$status" = 0 ]
    run kymo-score -q -m m.json --fail-on 'bad>=20' bad.kymo
    [ "$status" = 1 ]
    run kymo-score -q -m m.json --fail-on 'bad>20' bad.kymo
    [ "$status" = 0 ]
    for wrong in 'worse>2%' 'bad<2%' 'bad>' 'bad>2%x' 'bad>200%'; do
        run kymo-score -m m.json --fail-on "$wrong" bad.kymo
        [ "$status" = 2 ]
    done
}

@test "few held-out windows are said once" {
    run kymo-score -m m.json good.kymo
    [ "$(grep -c 'windows were held out' <<<"$output")" = 1 ]
}

@test "a model without labels calls everything unknown, and says so" {
    kymo-kmeans -q --force f.kymo -w fresh.json
    run kymo-score -m fresh.json good.kymo
    [ "$status" = 1 ]
    [[ $output == *"no state of fresh.json is labelled"* ]]
}

@test "several captures are judged as one run" {
    run kymo-score -m m.json good.kymo bad.kymo
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"70 windows: 50 good, 20 bad"* ]]
}

@test "features of another kind are refused with 3" {
    kymo-featurize -q --window 2s good.kymo -w two.kymo
    run kymo-score -m m.json two.kymo
    [ "$status" = 3 ]
    printf 'a,b\n1,2\n' >t.csv
    run kymo-score -m m.json t.csv
    [ "$status" = 3 ]
    for f in missing.kymo m.json; do
        run kymo-score -m m.json $f
        [ "$status" = 3 ]
    done
    run kymo-score -m good.kymo good.kymo
    [ "$status" = 3 ]
}

@test "a model of a plain table judges tables of the same columns" {
    printf 'a,b\n1,1\n1,1.1\n9,9\n9,9.1\n' >t.csv
    kymo-kmeans -q -k 2 t.csv -w t.json
    kymo-label -q t.json s0=x:good s1=y:bad
    run kymo-score -m t.json t.csv
    [[ ${lines[-1]} == *"4 windows: 2 good, 2 bad"* ]]
    run kymo-score -m t.json good.kymo
    [ "$status" = 3 ]
}
