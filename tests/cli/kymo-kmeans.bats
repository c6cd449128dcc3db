#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-kmeans: states of a matrix.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    golden=$PWD/tests/golden/clustering
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
}

@test "five phases come out as states that hold one phase each" {
    $synth -w c.kymo --seconds 20
    kymo-featurize -q c.kymo -w f.kymo
    kymo-kmeans -q f.kymo -w m.json -o labels.csv
    sed 1d labels.csv | awk '{ p = int((NR - 1) / 20); if (seen[$1] != "" && seen[$1] != p) exit 1; seen[$1] = p }'
}

@test "the same seed gives the same model for every number of threads" {
    $synth -w c.kymo --seconds 8
    kymo-featurize -q c.kymo -w f.kymo
    for j in 1 2 3; do kymo-kmeans -q -j $j f.kymo -w m$j.json; done
    cmp m1.json m2.json
    cmp m1.json m3.json
    kymo-kmeans -q --seed 2 f.kymo -w other.json
    grep -q '"seed": "2"' other.json
}

@test "auto says what it tried and why it chose" {
    run kymo-kmeans --transform standard --k-max 5 "$golden/iris.csv" -w m.json
    [ "$status" = 0 ]
    [ "$(grep -cE '^ +[2-5] +[0-9.]+ +[0-9.]+ +-?[0-9.]+' <<<"$output")" = 4 ]
    [[ $output == *"lowest BIC"* ]]
}

@test "more states than rows is a usage mistake, and nothing is written" {
    printf 'a,b\n1,2\n3,4\n' >two.csv
    run kymo-kmeans -k 3 two.csv -w m.json
    [ "$status" = 2 ]
    [ ! -e m.json ]
    run kymo-kmeans -k 0 two.csv -w m.json
    [ "$status" = 2 ]
    run kymo-kmeans -k some two.csv -w m.json
    [ "$status" = 2 ]
}

@test "NaN is refused by column and row" {
    for bad in nan inf x ''; do
        printf 'alpha,beta\n1,2\n3,%s\n' "$bad" >bad.csv
        run kymo-kmeans -k 1 bad.csv -w m.json
        [ "$status" = 3 ]
        [[ $output == *"'beta' of row 2"* ]]
        [ "${#lines[@]}" = 1 ]
        [ ! -e m.json ]
    done
}

@test "a row of another width, a missing header and an empty file are refused" {
    printf 'a,b\n1,2\n3\n' >short.csv
    printf '1,2\n3,4\n' >bare.csv
    : >empty.csv
    for f in short bare empty; do
        run kymo-kmeans -k 1 $f.csv -w m.json
        [ "$status" = 3 ]
    done
    [[ $(kymo-kmeans -k 1 bare.csv -w m.json 2>&1) == *header* ]]
}

@test "a capture is no matrix, and the message says what to do" {
    $synth -w c.kymo --seconds 1
    run kymo-kmeans c.kymo -w m.json
    [ "$status" = 3 ]
    [[ $output == *"kymo featurize"* ]]
    run kymo-kmeans missing.kymo -w m.json
    [ "$status" = 3 ]
}

@test "an existing model is left as it was" {
    printf 'a\n1\n2\n' >x.csv
    echo mine >m.json
    run kymo-kmeans -k 1 x.csv -w m.json
    [ "$status" = 2 ]
    run kymo-kmeans --force -k 1 missing.csv -w m.json
    [ "$status" = 3 ]
    [ "$(cat m.json)" = mine ]
    run kymo-kmeans -q --force -k 1 x.csv -w m.json
    [ "$status" = 0 ]
    grep -q '"schema": "kymo-model"' m.json
}

@test "tabs, quotes and float32 are read" {
    printf '"first, one"\tb\r\n1\t2\r\n"3"\t4\r\n' >t.tsv
    kymo-kmeans -q -k 2 t.tsv -w t.json
    grep -q '"name": "first, one"' t.json
    # 2 x 2 of float32: 1 2 3 4
    { printf '\223NUMPY\001\000v\000'; printf "%-117s\n" "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"
      printf '\0\0\200\77\0\0\0\100\0\0\100\100\0\0\200\100'; } >f.npy
    kymo-kmeans -q -k 1 f.npy -w f.json
    grep -A2 '"centre": \[' f.json | tr -d ' \n' | grep -q '2.0,3.0'
}

@test "windows that lost events are left out of the fit" {
    $synth -w c.kymo --seconds 5 --lose reads
    kymo-featurize -q c.kymo -w f.kymo
    run kymo-kmeans -k 4 f.kymo -w m.json
    [ "$status" = 0 ]
    [[ $output == *"5 left out for loss"* ]]
}

@test "with --marked only windows inside marks are learned from" {
    $synth -w c.kymo --seconds 5
    kymo-featurize -q --window 2s --step 1s c.kymo -w f.kymo
    # 24 windows, of which those over a border of phases lie in no mark: 4 a phase stay
    run kymo-kmeans --marked --holdout 0 -k 5 f.kymo -w m.json
    [ "$status" = 0 ]
    [[ $output == *"5 states from 20 windows"* ]]
    [[ $output == *"4 unmarked"* ]]
}

@test "a stopped fit leaves its best model, marked unfinished, and the signal's status" {
    awk 'BEGIN { srand(1); print "a,b,c,d,e,f,g,h"; for (i = 0; i < 30000; i++) { for (j = 0; j < 8; j++)
        printf "%s%.6f", j ? "," : "", rand(); print "" } }' >big.csv
    kymo-kmeans -q -k 60 --n-init 100000 --max-iter 1000 big.csv -w m.json 3>&- &
    pid=$!
    sleep 3
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ "$status" = 143 ]
    grep -q '"finished": false' m.json
}
