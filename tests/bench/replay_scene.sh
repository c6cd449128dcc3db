#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/replay_scene.sh SCENE FOLDER CAPTURE: record one scene of real programs at work, for replays of it.
#
#   redis, nginx, postgres   a service with its clients, from the first exec to the last exit
#   redis-live, nginx-live, postgres-live   the service alone, from its midst: what its clients do comes from outside
#   git, gcc, find           git clone of a repository on this disk; a build of a few files; find and tar over a tree
#
# Everything lies in FOLDER; servers listen on loopback and are gone at the end. Needs root, to record.
set -eu
scene=$1 folder=$2 capture=$3
PATH=${KYMO_BIN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/release/bin}:$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
export LC_ALL=C
seconds=${SCENE_S:-3}
port=${SCENE_PORT:-18379}
mkdir -p "$folder"
cd "$folder"
server=
end() {
    trap - EXIT INT TERM
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
    [ ! -s postgres/postmaster.pid ] || as_postgres pg_ctl -D "$folder/postgres" -m immediate stop >/dev/null 2>&1 || true
}
trap end EXIT
trap 'end; exit 143' INT TERM

record() { timeout -k 10 120 kymo record --no-progress -q --force -w "$capture" "$@"; }
# PostgreSQL refuses root.
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
answers() { # COMMAND...
    for _ in $(seq 100); do
        timeout -k 5 5 "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "replay_scene: no answer to: $*" >&2
    exit 4
}

# A client that works, rests and works; so much at once that both CPUs are busy now and then.
redis_clients() {
    redis-cli -p "$port" -r $((seconds * 40)) -i 0.02 incr visits >/dev/null &
    for _ in $(seq "$seconds"); do
        redis-benchmark -p "$port" -q -c 4 -n 2000 -t set,get,lpush >/dev/null
        sleep 0.3
    done
    wait $!
}
redis_server() { exec redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly yes --dir "$folder"; }
nginx_conf() {
    mkdir -p www nginx
    for i in $(seq 40); do head -c $((i * 700)) /dev/urandom | base64 >"www/$i.html"; done
    cat >nginx.conf <<CONF
daemon off; pid $folder/nginx/pid; error_log $folder/nginx/error.log; worker_processes 2;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { worker_connections 256; }
http {
  access_log $folder/nginx/access.log; sendfile on; root $folder/www;
  client_body_temp_path $folder/nginx/b; proxy_temp_path $folder/nginx/p;
  fastcgi_temp_path $folder/nginx/f; uwsgi_temp_path $folder/nginx/u; scgi_temp_path $folder/nginx/s;
  server { listen 127.0.0.1:$port; }
}
CONF
}
nginx_clients() {
    for _ in $(seq "$seconds"); do
        wrk -t 1 -c 4 -d 1 "http://127.0.0.1:$port/$((RANDOM % 40 + 1)).html" >/dev/null
        curl -s -o /dev/null "http://127.0.0.1:$port/none" || true
        sleep 0.2
    done
}
postgres_data() {
    [ "$(id -u)" != 0 ] || chown postgres "$folder"
    as_postgres initdb -D "$folder/postgres" -A trust >/dev/null 2>&1
    as_postgres pg_ctl -D "$folder/postgres" -w -o "-p $port -k $folder -c listen_addresses=127.0.0.1" -l "$folder/postgres.log" start >/dev/null
    as_postgres createdb -h 127.0.0.1 -p "$port" bench
    as_postgres pgbench -h 127.0.0.1 -p "$port" -i -s 1 bench >/dev/null 2>&1
}
postgres_clients() { as_postgres pgbench -h 127.0.0.1 -p "$port" -c 2 -R 300 -T "$seconds" bench >/dev/null 2>&1; }

case $scene in
redis)
    export port seconds folder
    export -f redis_clients redis_server answers
    record -- bash -c 'redis_server >redis.log 2>&1 & answers redis-cli -p $port ping; redis_clients; redis-cli -p $port shutdown nosave; wait'
    ;;
redis-live)
    redis_server >redis.log 2>&1 &
    server=$!
    answers redis-cli -p "$port" ping
    redis_clients &
    sleep 0.3
    record -p "$server" -d "$seconds"
    wait $!
    ;;
nginx)
    nginx_conf
    export port seconds folder
    export -f nginx_clients answers
    record -- bash -c 'nginx -c $folder/nginx.conf >nginx.log 2>&1 & n=$!; answers curl -s http://127.0.0.1:$port/1.html; nginx_clients; kill $n; wait'
    ;;
nginx-live)
    nginx_conf
    nginx -c "$folder/nginx.conf" >nginx.log 2>&1 &
    server=$!
    answers curl -s "http://127.0.0.1:$port/1.html"
    nginx_clients &
    sleep 0.3
    record -p "$server" -d "$seconds"
    wait $!
    ;;
postgres)
    postgres_data
    as_postgres pg_ctl -D "$folder/postgres" -w stop >/dev/null
    export port seconds folder
    export -f postgres_clients as_postgres answers
    record -- bash -c 'as_postgres postgres -D $folder/postgres -p $port -k $folder -c listen_addresses=127.0.0.1 >postgres.log 2>&1 & p=$!
        answers psql -h 127.0.0.1 -p $port -U postgres -c "select 1" bench; postgres_clients; kill -INT $(head -n 1 $folder/postgres/postmaster.pid); wait'
    ;;
postgres-live)
    postgres_data
    postgres_clients &
    sleep 0.5
    record -p "$(head -n 1 postgres/postmaster.pid)" -d "$seconds"
    wait $!
    ;;
git)
    rm -rf made clone
    git init -q made
    for i in $(seq 60); do
        mkdir -p "made/d$((i % 7))"
        seq "$i" $((i * 90)) >"made/d$((i % 7))/f$i"
        git -C made add . && git -C made -c user.name=k -c user.email=k@localhost commit -q -m "$i"
    done
    record -- git clone -q --no-local "$folder/made" clone
    ;;
gcc)
    for i in 1 2 3; do printf '#include <stdio.h>\n#include <stdlib.h>\nint f%d(int a) { return printf("%%d", a) + %d; }\n' "$i" "$i" >"m$i.c"; done
    printf 'int f1(int); int f2(int); int f3(int); int main(void) { return f1(1) + f2(2) + f3(3) > 99; }\n' >m.c
    printf 'm: m.o m1.o m2.o m3.o\n\t$(CC) -o $@ $^\n' >Makefile
    rm -f ./*.o m
    record -- make -s -j2 CC=gcc
    ;;
find)
    mkdir -p tree
    for i in $(seq 300); do mkdir -p "tree/$((i % 20))/$((i % 3))"; head -c $((i * 37)) /dev/zero >"tree/$((i % 20))/$((i % 3))/f$i"; done
    record -- sh -c 'find tree -type f -size +4k >list; tar cf tree.tar tree; tar xf tree.tar -C . --transform s/tree/again/; rm -r again'
    ;;
*)
    echo "replay_scene: no scene is called $scene" >&2
    exit 2
    ;;
esac
