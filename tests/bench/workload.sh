#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/workload.sh FOLDER: what the format is measured on, some 6 M system calls of a host's usual
# programs: redis, nginx, a compiler, find, tar and grep, PostgreSQL, sqlite. Everything it makes
# lies in FOLDER; servers listen on loopback and are gone when it ends.
set -eu
folder=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
mkdir -p "$folder"
cd "$folder"
postgres_data=$folder/postgres
servers=()

end() {
    trap - EXIT INT TERM
    [ ! -s "$postgres_data/postmaster.pid" ] || as_postgres pg_ctl -D "$postgres_data" -m immediate stop >/dev/null 2>&1 || true
    [ ${#servers[@]} = 0 ] || kill "${servers[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap end EXIT
trap 'end; exit 143' INT TERM

say() { printf '%s\n' "workload: $*" >&2; }

# PostgreSQL refuses root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

until_answers() { # COMMAND...
    for _ in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    say "no answer to: $*"
    exit 4
}

redis() {
    redis-server --bind 127.0.0.1 --port 17379 --save '' --appendonly yes --dir "$folder" >redis.log 2>&1 &
    servers+=($!)
    until_answers redis-cli -p 17379 ping
    redis-benchmark -p 17379 -q -c 20 -n 30000 -t set,get,incr,lpush,zadd >/dev/null
    redis-cli -p 17379 shutdown nosave || true
}

nginx_and_wrk() {
    mkdir -p www nginx
    for i in $(seq 50); do head -c $((i * 700)) /dev/urandom | base64 >"www/$i.html"; done
    cat >nginx.conf <<CONF
daemon off; pid $folder/nginx/pid; error_log $folder/nginx/error.log; worker_processes 2;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { worker_connections 256; }
http {
  access_log $folder/nginx/access.log; sendfile on; root $folder/www;
  client_body_temp_path $folder/nginx/b; proxy_temp_path $folder/nginx/p;
  fastcgi_temp_path $folder/nginx/f; uwsgi_temp_path $folder/nginx/u; scgi_temp_path $folder/nginx/s;
  server { listen 127.0.0.1:17380; }
}
CONF
    cat >paths.lua <<'LUA'
local i = 0
request = function() i = i % 60 + 1; return wrk.format("GET", "/" .. i .. ".html") end
LUA
    nginx -c "$folder/nginx.conf" -p "$folder/nginx" 2>/dev/null &
    servers+=($!)
    until_answers wrk -t1 -c1 -d1s http://127.0.0.1:17380/1.html
    wrk -t2 -c20 -d5s -s paths.lua http://127.0.0.1:17380/ >/dev/null
    kill "${servers[-1]}"
}

build() {
    local c
    for c in "$here"/format/*/*.c "$here"/analyze/core/*.c; do
        gcc -std=c11 -D_GNU_SOURCE -I"$here" -O0 -c -o "$(basename "$c").o" "$c" 2>/dev/null || true
    done
    ar rc all.a ./*.o
}

files() {
    find /usr -type f -size +4k -newer /etc/hostname >/dev/null 2>&1 || true
    find /usr /etc /var/lib -name '*.conf' >/dev/null 2>&1 || true
    tar cf - /usr/share /usr/include 2>/dev/null | cat >all.tar || true
    mkdir -p unpacked
    tar xf all.tar -C unpacked --no-same-owner 2>/dev/null || true
    grep -rl needle unpacked >/dev/null 2>&1 || true
    rm -rf unpacked all.tar
}

postgres() {
    mkdir -p "$postgres_data"
    [ "$(id -u)" != 0 ] || chown postgres "$postgres_data"
    as_postgres initdb -D "$postgres_data" -A trust >/dev/null
    as_postgres pg_ctl -D "$postgres_data" -l "$postgres_data/log" -w \
        -o "-h 127.0.0.1 -p 17381 -k $postgres_data -c fsync=off" start >/dev/null
    as_postgres createdb -h 127.0.0.1 -p 17381 bench
    as_postgres pgbench -h 127.0.0.1 -p 17381 -i -s 5 -q bench >/dev/null 2>&1
    as_postgres pgbench -h 127.0.0.1 -p 17381 -c 8 -t 3500 bench >/dev/null 2>&1
    as_postgres pgbench -h 127.0.0.1 -p 17381 -c 8 -t 8000 -S bench >/dev/null 2>&1
    as_postgres pg_ctl -D "$postgres_data" -m immediate stop >/dev/null
}

sqlite() {
    {
        echo 'PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, x REAL);'
        for i in $(seq 12000); do echo "INSERT INTO t(name, x) VALUES('name $i', $i.5);"; done
        for i in $(seq 12000); do echo "SELECT name FROM t WHERE id = $i;"; done
        for i in $(seq 4000); do echo "UPDATE t SET x = x + 1 WHERE id = $((i * 3));"; done
    } >work.sql
    sqlite3 work.db <work.sql >/dev/null
}

for part in redis nginx_and_wrk build files postgres sqlite; do
    say "$part"
    $part
done
