#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-hierarchical: states as branches of a tree.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    golden=$PWD/tests/golden/clustering
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
}

@test "phases of a capture come out as branches" {
    $synth -w c.kymo --seconds 20
    kymo-featurize -q c.kymo -w f.kymo
    kymo-hierarchical -q -k 5 f.kymo -w m.json -o labels.csv
    sed 1d labels.csv | awk '{ p = int((NR - 1) / 20); if (seen[$1] != "" && seen[$1] != p) exit 1; seen[$1] = p }'
}

@test "the same tree for every number of threads" {
    for method in ward average complete single centroid; do
        for j in 1 2 3; do kymo-hierarchical -q --force --method $method -k 3 -j $j "$golden/wine_z.csv" -w m$j.json --tree-out Z$j.csv; done
        cmp Z1.csv Z2.csv && cmp Z1.csv Z3.csv
        cmp m1.json m2.json && cmp m1.json m3.json
    done
}

@test "a tree of given distances is that of the rows" {
    cat >x.csv <<'E'
a,b
0,0
3,4
6,8
0,1
E
    printf 'd\n5\n10\n1\n5\n4.242640687119285\n9.219544457292887\n' >condensed.csv
    cat >square.csv <<'E'
p,q,r,s
0,5,10,1
5,0,5,4.242640687119285
10,5,0,9.219544457292887
1,4.242640687119285,9.219544457292887,0
E
    kymo-hierarchical -q -k 2 --method average x.csv -w a.json --tree-out a.csv
    for d in condensed square; do
        kymo-hierarchical -q --force -k 2 --method average --distances $d.csv x.csv -w b.json --tree-out b.csv
        paste -d, a.csv b.csv | sed 1d | awk -F, '{ d = $3 - $7; if ($1 != $5 || $2 != $6 || d * d > 1e-18) exit 1 }'
    done
    printf 'd\n5\n-1\n1\n5\n4\n9\n' >negative.csv
    run kymo-hierarchical -k 2 --distances negative.csv x.csv -w c.json
    [ "$status" = 3 ]
    run kymo-hierarchical -k 2 --distances x.csv x.csv -w c.json
    [ "$status" = 3 ]
}

@test "a cut by height and by number agree, and the text of the tree names every row" {
    kymo-hierarchical -q -k 3 "$golden/faithful_jitter.csv" -w m.json -o by-k.csv --tree-out Z.csv --newick t.nwk --gnuplot t.dat
    height=$(awk -F, 'NR == 271 { print $3 }' Z.csv) # 272 rows: after 269 merges three are left
    kymo-hierarchical -q --force --height "$(awk -v h="$height" 'BEGIN { print h * 0.9999999 }')" "$golden/faithful_jitter.csv" -w m.json -o by-h.csv
    [ "$(sort -u by-k.csv | wc -l)" = 4 ]
    [ "$(sort -u by-h.csv | wc -l)" -ge 4 ]
    [ "$(grep -oE '[(,][0-9]+:' t.nwk | wc -l)" = 272 ]
    [[ $(tail -c 3 t.nwk) == *";"* ]]
    [ "$(grep -c '^#' t.dat)" -ge 272 ]
}

@test "more rows than the memory holds are joined beforehand, and that is said" {
    awk 'BEGIN { srand(3); print "a,b"; for (i = 0; i < 9000; i++) { c = i % 3; printf "%.6f,%.6f\n", c * 20 + rand(), (c == 1) * 20 + rand() } }' >x.csv
    run kymo-hierarchical --method average --memory 1M -k 3 x.csv -w m.json -o labels.csv
    [ "$status" = 0 ]
    [[ $output == *"were joined to"*"groups beforehand"* ]]
    sed 1d labels.csv | awk '{ c = (NR - 1) % 3; if (seen[c] == "") seen[c] = $1; if (seen[c] != $1) exit 1 }'
    jq -e '.fit.joined_by == "birch" and .fit.tree_of < 9000' m.json
    run kymo-hierarchical --groups 50 -k 3 x.csv --force -w m.json
    [[ $output == *"joined to "*" groups"* ]]
}

@test "options that say two things are refused" {
    run kymo-hierarchical -k 3 --height 2 "$golden/iris.csv" -w m.json
    [ "$status" = 2 ]
    run kymo-hierarchical -k 200 "$golden/iris.csv" -w m.json
    [ "$status" = 2 ]
    [ ! -e m.json ]
}
