#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Secrets that real programs are given are nowhere in what the recorder leaves behind: not in the file, not
# in a temporary one, not in a core; and what stands for them is the same for the same.

setup_file() {
    cc -O1 -o "$BATS_FILE_TMPDIR/secrets" -x c - <<'C'
/* Opens, renames and connects to names that hold what its environment says. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(void)
{
    const char *secret = getenv("API_TOKEN");
    char path[256];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!secret)
        return 2;
    snprintf(path, sizeof(path), "/nonexistent/session?token=%s", secret);
    (void)open(path, O_RDONLY);
    (void)rename("/nonexistent/plain", path);
    snprintf(a.sun_path, sizeof(a.sun_path), "/nonexistent/password=%s", secret);
    (void)connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof(a));
    return 0;
}
C
}

setup() {
    PATH=$KYMO_BIN:$PATH
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    rm doctor.txt
    # Every canary begins alike, so that one search finds any of them.
    canary=Tw33tY$RANDOM$RANDOM
    export TMPDIR=$PWD/tmp
    mkdir tmp
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
}

record() { timeout -k 5 60 kymo record --no-progress --key "$BATS_FILE_TMPDIR/key" "$@"; }
everything() { kymo cat --jsonl "$1"; kymo info "$1"; kymo info --json "$1"; kymo cat "$1"; }
# A bare "!" does not fail a test.
none() { ! "$@"; }
nowhere() { # FILE: no canary in it, packed or not
    everything "$1" >unpacked
    none grep Tw33tY unpacked && none grep -qa Tw33tY "$1"
}
argv_of() { kymo cat --jsonl -t process -f 'kind == exec' "$1" | jq -r .argv; }
wait_for_recorder() {
    for _ in $(seq 100); do
        [ -S "/run/kymo/record-$recorder.sock" ] && [ -s "$1" ] && return
        sleep 0.05
    done
    return 1
}

# Real programs and some of other programs' names, each with secrets in their places.
make_workload() {
    cat >workload <<SH
export API_TOKEN=${canary}env
command -v curl >/dev/null || curl() { (exec -a curl true "\$@"); }
curl -s -m 1 -u me:${canary}curl 'http://127.0.0.1:1/?access_token=${canary}query&page=2'
curl -s -m 1 -H 'Authorization: Bearer ${canary}head' http://other:${canary}url@127.0.0.1:1/
env PGPASSWORD=${canary}pg sh -c 'exec -a psql true -c "SELECT name FROM users WHERE mail = '"'${canary}sql'"' AND id = 4711"'
sh -c 'mysql -p${canary}script db' 2>/dev/null
(exec -a mysql true -uroot -p${canary}mysql db)
(exec -a mysql true -e "ALTER USER u IDENTIFIED BY '${canary}alter'")
(exec -a app true --password ${canary}option --verbose --api-key=${canary}key)
(exec -a app true '{"user":"u","password":"${canary}json"}' '-----BEGIN PRIVATE KEY-----
${canary}pem')
$BATS_FILE_TMPDIR/secrets --token ${canary}own
command -v psql >/dev/null && psql "postgresql://u:${canary}dsn@127.0.0.1:1/db" -c "SELECT '${canary}real'" 2>/dev/null
command -v redis-cli >/dev/null && redis-cli -p 1 -a ${canary}redis ping 2>/dev/null
command -v sqlite3 >/dev/null && sqlite3 :memory: "CREATE TABLE t (a); INSERT INTO t VALUES ('${canary}lite')"
true
SH
}

@test "no secret of real commands is in the file, nor in any other that the recorder made" {
    make_workload
    mv workload "$BATS_FILE_TMPDIR/workload"
    record -q -w c.kymo -- bash "$BATS_FILE_TMPDIR/workload" --password "${canary}cmd"
    rm "$BATS_FILE_TMPDIR/workload"
    nowhere c.kymo
    # what is around the secrets is there
    argv_of c.kymo >argv
    grep -q "curl -s -m 1 -u me:k[a-z2-7_]* 'http://127.0.0.1:1/?access_token=k[a-z2-7_]*&page=2'" argv ||
        grep -q 'curl -s -m 1 -u me:k[a-z2-7_]* http://127.0.0.1:1/?access_token=k[a-z2-7_]*&page=2' argv
    grep -q 'mysql -uroot -pk[a-z2-7_]* db' argv
    grep -q 'app --password k[a-z2-7_]* --verbose --api-key=k[a-z2-7_]*' argv
    grep -q 'SELECT name FROM users WHERE mail = ' argv
    none grep 4711 argv
    kymo cat --jsonl -t syscall c.kymo >calls
    grep -q '"path":"/nonexistent/session?token=k[a-z2-7_]*"' calls
    grep -q '"path2":"/nonexistent/session?token=k[a-z2-7_]*"' calls
    grep -q '"addr":"unix:/nonexistent/password=k[a-z2-7_]*"' calls
    # nowhere else either; and the search finds what is not hidden
    none grep -rqa Tw33tY . /run/kymo
    kymo record --no-progress -q --redact none -w n.kymo -- true --password "$canary"
    everything n.kymo | grep -q "$canary"
    kymo check c.kymo
}

@test "a process that ran before, the recorder's own arguments and a mark hide theirs" {
    sh -c 'sleep 20; :' sh --password "${canary}before" & other=$!
    sleep 0.2
    kymo record --no-progress -q --key "$BATS_FILE_TMPDIR/key" -w s.kymo & recorder=$!
    wait_for_recorder s.kymo
    kymo mark "deploy token=${canary}mark" --to $recorder
    kill -INT $recorder
    wait $recorder
    kill $other
    nowhere s.kymo
    kymo cat --jsonl -t process -f "pid == $other" s.kymo | grep -q 'sh --password k[a-z2-7_]*"'
    kymo cat --jsonl -t mark s.kymo | grep -q '"name":"deploy token=k'
    record -q -w o.kymo -- true --password "${canary}own"
    nowhere o.kymo
    kymo cat --jsonl -t context o.kymo | grep '"key":"command"' | grep -q -- '--password k'
}

@test "a secret has one pseudonym within a capture and across captures of one key, and another under another" {
    one() { argv_of "$1" | sed -n 's/^app --password=\(k[a-z2-7_]*\).*/\1/p' | sort -u; }
    record -q -w a.kymo -- bash -c "(exec -a app true --password=${canary}); (exec -a app true --password=${canary})"
    record -q -w b.kymo -- bash -c "(exec -a app true --password=${canary}); (exec -a mysql true -p${canary})"
    kymo record --no-progress -q --key other -w c.kymo -- bash -c "(exec -a app true --password=${canary}); true"
    [ "$(one a.kymo | wc -l)" = 1 ]
    [ "$(one a.kymo)" = "$(one b.kymo)" ]
    argv_of b.kymo | grep -qx "mysql -p$(one a.kymo)"
    [ -n "$(one c.kymo)" ] && [ "$(one a.kymo)" != "$(one c.kymo)" ]
    id() { kymo info --json "$1" | jq -r .context.redact_key_id; }
    [ "$(id a.kymo)" = "$(id b.kymo)" ] && [ "$(id a.kymo)" != "$(id c.kymo)" ]
    [ "$(stat -c %a "$BATS_FILE_TMPDIR/key" other)" = $'600\n600' ]
    none grep -qa "$(cat other)" c.kymo
}

@test "the capture says by which policy, under which key and how often" {
    record -q -w h.kymo -- bash -c "(exec -a app true --password=${canary} --host=db); (exec -a mysql true -p${canary}); true"
    kymo info h.kymo | grep -q '^redact_policy default/1$'
    kymo info h.kymo | grep -q '^hidden .* by program'
    # Each rule has a row; the option was met in the shell's script and in the program's arguments.
    [ "$(kymo cat --jsonl -t redact h.kymo | jq -r .rule | sort -u | wc -l)" = 8 ]
    [ "$(kymo info --json h.kymo | jq '.redact[] | select(.rule == "option") .hits')" -ge 2 ]
    kymo anonymize -q --key other -w x.kymo h.kymo
    kymo info --json x.kymo | jq -e '.context.redact_policy == "default/1" and (.redact | length) == 8' >/dev/null
}

@test "--redact none hides nothing, and says so aloud and in the file" {
    run kymo record --no-progress -q --redact none -w n.kymo -- true --password "${canary}"
    [ "$status" = 0 ]
    [[ $output == *"WARNING: --redact none"* ]]
    kymo info n.kymo | grep -q '^redact_policy none$'
    kymo info n.kymo >info
    none grep redact_key_id info
    argv_of n.kymo | grep -q "true --password ${canary}"
    run kymo record --redact none --key other -w m.kymo -- true
    [ "$status" = 2 ] && [ ! -e m.kymo ]
}

@test "without a place for a key a capture has its own, and says so in one line; a bad --key is refused" {
    chmod 777 .
    caps=+bpf,+perfmon
    HOME=/nonexistent XDG_STATE_HOME=/nonexistent XDG_RUNTIME_DIR=$PWD setpriv --reuid=65534 --regid=65534 --clear-groups \
        --inh-caps=$caps --ambient-caps=$caps --bounding-set=-all,$caps \
        "$KYMO_BIN/kymo-record" --no-progress -q -w p.kymo -- sh -c "true --password ${canary}; true" 2>err
    cat err
    [ "$(grep -c 'key of this capture alone' err)" = 1 ]
    nowhere p.kymo
    kymo info --json p.kymo | jq -e '.context.redact_key_id | length == 16' >/dev/null
    echo "no key" >bad
    run kymo record --key bad -w q.kymo -- true
    [ "$status" = 3 ] && [ "${#lines[@]}" = 1 ] && [ ! -e q.kymo ]
}

@test "a command line that is cut within a secret shows no part of it" {
    # 2048 bytes of arguments are kept: the secrets lie across the end
    for secret in "--password=$canary$canary" "postgres://u:$canary$canary@h/db" "ghp_$canary$canary$canary"; do
        for n in $(seq 1985 12 2045); do
            printf '(exec -a app true %s %s)\n' "$(head -c "$n" /dev/zero | tr '\0' a)" "$secret"
        done
    done >"$BATS_FILE_TMPDIR/cut"
    record -q -w l.kymo --comm 'true*' -- bash "$BATS_FILE_TMPDIR/cut"
    [ "$(argv_of l.kymo | grep -c '^app aaaa')" = 18 ]
    everything l.kymo >unpacked
    none grep 'Tw3' unpacked
}

@test "a recorder that crashes leaves no core, and its command may" {
    ulimit -c unlimited 2>/dev/null || skip "cores are not allowed here"
    [[ $(cat /proc/sys/kernel/core_pattern) == core* ]] || skip "cores do not lie beside their program here"
    sleep 30 & p=$!
    kill -SEGV $p
    wait $p || true
    ls core* >/dev/null 2>&1 || skip "no program leaves a core here"
    rm core*
    for signal in SEGV ABRT; do
        rm -f k.kymo
        kymo record --no-progress -q --key "$BATS_FILE_TMPDIR/key" -w k.kymo & recorder=$!
        wait_for_recorder k.kymo
        kill -$signal $recorder
        wait $recorder || true
        rm -f "/run/kymo/record-$recorder.sock"
        none ls core* 2>/dev/null
    done
    [ "$(record -q -w u.kymo -- bash -c 'ulimit -c')" = unlimited ]
}
