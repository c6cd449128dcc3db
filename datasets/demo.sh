#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh - the main job on a real service: record redis working and in trouble, learn its states,
# name them, then judge a fresh normal run and a fresh troubled one.
#
# usage: demo.sh [--small]
#   --small   light loads, short phases: the captures of datasets/tiny are made so (make tiny)
#
# Everything happens on loopback and in $KYMO_DEMO_DIR (default build/demo). Every figure printed
# comes from this run.
set -u
LC_ALL=C; export LC_ALL
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${KYMO_BIN:-$here/build/release/bin}
dir=${KYMO_DEMO_DIR:-$here/build/demo}
small=; [ "${1:-}" = --small ] && small=1
PATH=$bin:$PATH

train_s=8 fresh_s=6
[ -n "$small" ] && train_s=7 fresh_s=5

GOOD="idle reads writes pipeline bgsave"
BAD="storm diskfull starved"
started=$(date +%s)

die() { echo "demo: $*" >&2; exit 1; }
redis() { redis-cli -p "$port" "$@"; }

# ---- the service ------------------------------------------------------------------------------------

# Redis appends to a file on a tmpfs of its own, in a mount namespace that goes with it.
start_service() {
	port=$((20000 + RANDOM % 20000))
	mkdir -p "$dir/redis"
	unshare -m sh -c '
		mount -t tmpfs -o size=2g kymo-demo "$1" || exit 1
		cd "$1" && exec redis-server --port "$2" --bind 127.0.0.1 --save "" --appendonly yes \
			--appendfsync everysec --auto-aof-rewrite-percentage 0 --daemonize no' \
		sh "$dir/redis" "$port" >"$dir/redis.log" 2>&1 &
	service=$!
	for _ in $(seq 100); do
		redis ping >/dev/null 2>&1 && return
		sleep 0.05
	done
	die "redis-server did not start, see $dir/redis.log"
}

stop_service() {
	kill "$service" 2>/dev/null
	wait "$service" 2>/dev/null
}

# ---- the phases: a load in the background, whose pids are in $load ----------------------------------

bench() { # the shape of the load, as options of redis-benchmark; runs until it is stopped
	redis-benchmark -p "$port" -q -n 1000000000 -r 1000 "$@" >/dev/null 2>&1 & load="$load $!"
}

begin_idle() { :; }
begin_reads() { bench -c 20 -t get; }
begin_writes() { bench -c 20 -t set -d 64; }
begin_pipeline() { bench -c 4 -t get,set -P 64; }
begin_bgsave() {
	bench -c 20 -t get
	(while :; do redis bgsave; sleep 0.3; done) >/dev/null 2>&1 & load="$load $!"
}
# Clients that connect, ask once and drop.
begin_storm() { bench -c 20 -t ping -k 0; }
# The disk of the append-only file is full, and clients go on writing: the file is made short and
# its tmpfs shrunk to little more than it.
begin_diskfull() {
	redis bgrewriteaof >/dev/null
	for _ in $(seq 100); do
		nsenter -t "$service" -m mount -o remount,size=256k "$dir/redis" 2>/dev/null && break
		sleep 0.02
	done
	for _ in 1 2 3 4; do
		redis-cli -p "$port" -r 1000000000 set full "$(printf '%064d' 1)" >/dev/null 2>&1 & load="$load $!"
	done
}
end_diskfull() { nsenter -t "$service" -m mount -o remount,size=2g "$dir/redis"; }
# Somebody else takes the CPUs.
begin_starved() {
	stress-ng --quiet --cpu 12 --cpu-method int64 & load="$load $!"
	bench -c 20 -t get
}

# A phase begins before the one before it ends: the service is never left alone in between.
phase() { # NAME SECONDS
	local name=$1 s=$2 before=$load
	load=
	"begin_$name"
	[ -n "$before" ] && { kill $before; wait $before; } 2>/dev/null
	sleep 0.3
	kymo mark "$name" --begin --to "$recorder" || die "cannot mark $name"
	sleep "$s"
	kymo mark "$name" --end --to "$recorder" || die "cannot mark the end of $name"
	declare -F "end_$name" >/dev/null && "end_$name"
}

run() { # FILE SECONDS PHASE...: one recording, of this script's whole process tree
	local file=$1 s=$2
	shift 2
	start_service
	load=
	"begin_$1"
	sleep 0.5
	kymo record -w "$dir/$file" --force -p $$ --no-progress 2>"$dir/$file.log" &
	recorder=$!
	for _ in $(seq 100); do
		[ -S "/run/kymo/record-$recorder.sock" ] && break
		kill -0 $recorder 2>/dev/null || die "$(tail -1 "$dir/$file.log")"
		sleep 0.05
	done
	for name; do phase "$name" "$s"; done
	kill -INT $recorder
	wait $recorder || die "the recorder failed: $(tail -1 "$dir/$file.log")"
	[ -n "$load" ] && { kill $load; wait $load; } 2>/dev/null
	stop_service
	sed 's/^kymo-record: /  /; s/;.*$//' "$dir/$file.log"
}

trap 'kill $load $service $recorder 2>/dev/null' EXIT
load= service= recorder=
mkdir -p "$dir"
for tool in redis-server redis-benchmark stress-ng; do
	command -v $tool >/dev/null || die "$tool is missing: make setup-demo"
done
run train.kymo $train_s $GOOD $BAD
run normal.kymo $fresh_s bgsave writes idle pipeline reads
run trouble.kymo $fresh_s reads diskfull starved writes storm
echo "$(( $(date +%s) - started )) s"
