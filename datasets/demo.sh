#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh - the main job on a real service: record redis at work and in trouble, learn its states,
# name them, then judge a fresh normal run and a fresh troubled one.
#
# usage: demo.sh [--small]
#   --small   light loads, and the captures alone: datasets/tiny is made so, see its README
#
# Everything happens on loopback and in $KYMO_DEMO_DIR (default build/demo). Every figure printed
# comes from this run. Status 0: the normal run passed, the troubled one failed, nothing was lost.
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${KYMO_BIN:-$here/build/release/bin}
dir=${KYMO_DEMO_DIR:-$here/build/demo}
tiny=$here/datasets/tiny
PATH=$bin:$PATH:/usr/sbin:/sbin

GOOD="idle reads writes pipeline bgsave"
BAD="storm diskfull starved"
train_s=8 fresh_s=6.5
small='' only=()
if [ "${1:-}" = --small ]; then
	small=1 train_s=4.2 fresh_s=4
	GOOD="idle reads writes" BAD="storm diskfull"
	only=(--comm 'redis*' --compression 19)
fi
started=$(date +%s)
load='' service='' recorder=''

die() { echo "demo: $*" >&2; exit 2; }
redis() { redis-cli -p "$port" "$@"; }
stop() { [ $# = 0 ] || { kill "$@"; wait "$@"; } 2>/dev/null; }
trap 'stop $load $service $recorder' EXIT
trap 'exit 130' INT TERM

# ---- the service ------------------------------------------------------------------------------------

# Redis appends to a file on a tmpfs of its own, in a mount namespace that goes with it. The port is
# below those that clients are given, and another one is tried when it is taken.
start_service() {
	mkdir -p "$dir/redis"
	for _ in 1 2 3 4 5; do
		port=$((15000 + RANDOM % 15000))
		unshare -m sh -c '
			mount -t tmpfs -o size=2g kymo-demo "$1" || exit 1
			cd "$1" && exec redis-server --port "$2" --bind 127.0.0.1 --save "" --appendonly yes \
				--appendfsync everysec --auto-aof-rewrite-percentage 0 --daemonize no' \
			sh "$dir/redis" "$port" >"$dir/redis.log" 2>&1 &
		service=$!
		for _ in $(seq 100); do
			redis ping >/dev/null 2>&1 && kill -0 $service 2>/dev/null && return
			kill -0 $service 2>/dev/null || break
			sleep 0.05
		done
		stop $service
	done
	die "redis-server does not start, see $dir/redis.log"
}

# A command where the service sees its own disk.
inside() { nsenter -t "$service" -m -r "$@"; }

# ---- the phases: a load in the background, whose pids are in $load ----------------------------------

# Clients as fast as they can, by the options of redis-benchmark; until they are stopped.
bench() { redis-benchmark -p "$port" -q -n 1000000000 -r 1000 "$@" >/dev/null 2>&1 & load="$load $!"; }
# One client that asks the same again and again, with a pause or without.
client() { redis-cli -p "$port" -r 1000000000 -i "$@" >/dev/null 2>&1 & load="$load $!"; }
# A client that connects, asks once and drops, four times a second.
knocker() {
	while exec 3<>"/dev/tcp/127.0.0.1/$port"; do
		printf 'PING\r\n' >&3
		read -r <&3
		exec 3>&-
		read -r -t 0.25 <"$dir/never"
	done
}

begin_idle() { :; }
begin_reads() { if [ -n "$small" ]; then client 0.1 get k; else bench -c 20 -t get; fi; }
begin_writes() { if [ -n "$small" ]; then client 0.1 set k v; else bench -c 20 -t set -d 64; fi; }
begin_pipeline() { bench -c 4 -t get,set -P 64; }
begin_bgsave() {
	begin_reads
	(while :; do redis bgsave; sleep 0.3; done) >/dev/null 2>&1 & load="$load $!"
}
# Clients that connect, ask once and drop.
begin_storm() {
	if [ -n "$small" ]; then knocker & load="$load $!"; else bench -c 20 -t ping -k 0; fi
}
# The disk of the append-only file is full, and clients go on writing: the file is made short and
# its tmpfs is shrunk to little more than it.
begin_diskfull() {
	redis bgrewriteaof >/dev/null
	for _ in $(seq 100); do
		inside mount -o remount,size=128k "$dir/redis" 2>/dev/null && break
		sleep 0.02
	done
	inside dd if=/dev/zero of="$dir/redis/ballast" bs=4k >/dev/null 2>&1
	if [ -n "$small" ]; then
		client 0.05 set full "$(printf '%0512d' 1)"
	else
		for _ in 1 2 3 4; do client 0 set full "$(printf '%064d' 1)"; done
	fi
	# A trouble that was not brought about must not be judged.
	for _ in $(seq 100); do
		redis info persistence | grep -q aof_last_write_status:err && return
		sleep 0.02
	done
	die "the disk of the append-only file does not fill, see $dir/redis.log"
}
end_diskfull() {
	inside mount -o remount,size=2g "$dir/redis"
	inside rm "$dir/redis/ballast"
}
# Somebody else takes the CPUs.
begin_starved() {
	stress-ng --quiet --cpu 12 --cpu-method int64 & load="$load $!"
	begin_reads
}

# A phase begins before the one before it ends: the service is never left alone in between.
phase() { # NAME SECONDS
	local name=$1 s=$2 before=$load
	load=
	"begin_$name"
	stop $before
	sleep 0.3
	kymo mark "$name" --begin --to "$recorder" || die "cannot mark $name"
	sleep "$s"
	kymo mark "$name" --end --to "$recorder" || die "cannot mark the end of $name"
	if declare -F "end_$name" >/dev/null; then "end_$name"; fi
}

record() { # NAME SECONDS PHASE...: one recording, of this script's whole process tree
	local file=$dir/$1.kymo s=$2
	shift 2
	start_service
	load=
	"begin_$1"
	sleep 0.5
	kymo record -w "$file" --force -p $$ "${only[@]}" --no-progress 2>"$file.log" &
	recorder=$!
	for _ in $(seq 100); do
		[ -S "/run/kymo/record-$recorder.sock" ] && break
		kill -0 $recorder 2>/dev/null || die "$(tail -1 "$file.log")"
		sleep 0.05
	done
	for name; do phase "$name" "$s"; done
	kill -INT $recorder
	wait $recorder || die "the recorder failed: $(tail -1 "$file.log")"
	recorder=
	stop $load $service
	load='' service=''
}

# ---- the captures -----------------------------------------------------------------------------------

record_all() {
	mkfifo "$dir/never" 2>/dev/null
	exec 9<>"$dir/never"
	# shellcheck disable=SC2086
	record train $train_s $GOOD $BAD
	if [ -n "$small" ]; then
		record normal $fresh_s writes idle reads
	else
		record normal $fresh_s bgsave writes idle pipeline reads
	fi
	if [ -n "$small" ]; then
		record trouble $fresh_s reads diskfull writes storm
	else
		record trouble $fresh_s reads diskfull starved writes storm
	fi
}

# The shipped captures, where this host lets nobody look into its kernel.
take_tiny() {
	local name
	GOOD="idle reads writes" BAD="storm diskfull"
	for name in train normal trouble; do
		cp "$tiny/$name.kymo" "$dir/$name.kymo" || die "datasets/tiny is incomplete"
	done
}

# ---- the story --------------------------------------------------------------------------------------

info() { kymo info --json "$dir/$1.kymo"; } # NAME
events() { jq '[.tables[] | select(.name == "syscall" or .name == "process") | .rows] | add'; }
lost() { jq '[.loss[] | .dropped_ring + .dropped_nested + .dropped_queue] | add'; }
span_ns() { jq '.ts_max_ns - .ts_min_ns'; }
sum() { awk '{ n += $1 } END { printf "%.0f", n }'; }
all() { for name in train normal trouble; do info $name | "$@"; done; } # FILTER: a line a capture

tell_recording() { # NAME WHAT
	info "$1" | jq -r --arg name "$1.kymo" --arg what "$2" '
		([.tables[] | select(.name == "syscall" or .name == "process") | .rows] | add) as $n |
		"  \($name)\t\($n) events, \([.loss[] | .dropped_ring + .dropped_nested + .dropped_queue] | add) lost, " +
		"\(.bytes) bytes, \(.bytes / $n * 100 | round / 100) bytes/event, recorder " +
		"\(.cost.cpu_ns / (.ts_max_ns - .ts_min_ns) * 1000 | round / 10) % of a CPU\n" +
		"\t\t\($what)"'
}

comma() { tr ' ' ','; }
verdicts() { for p in $GOOD; do printf '%s=good ' "$p"; done; for p in $BAD; do printf '%s=bad ' "$p"; done; }

learn() {
	kymo featurize "$dir/train.kymo" -w "$dir/train.windows.kymo" --force --window 1s --step 250ms -q &&
		kymo kmeans "$dir/train.windows.kymo" -w "$dir/model.json" --force --marked -k auto -q >"$dir/kmeans.txt" &&
		kymo label "$dir/model.json" --marks "$dir/train.windows.kymo" \
			--good "$(echo $GOOD | comma)" --bad "$(echo $BAD | comma)" >"$dir/states.txt"
}

judge() { # NAME: the verdict to NAME.txt, its status back
	kymo score -m "$dir/model.json" "$dir/$1.kymo" >"$dir/$1.txt" 2>"$dir/$1.err"
}

# One line a label: how many states and windows bear it, and what is typical of the largest.
tell_states() {
	awk 'NR > 1 {
		label = $2; n[label] += $4; states[label]++; verdict[label] = $3
		if (!(label in most) || $4 > most[label]) {
			most[label] = $4; rest = $8
			for (i = 9; i <= NF; i++) rest = rest " " $i
			typical[label] = rest
		}
		if (states[label] == 1) order[++k] = label
	}
	END {
		for (i = 1; i <= k; i++)
			printf "  %-10s %-5s %3d windows, %2d states  %s\n", order[i], verdict[order[i]], n[order[i]],
				states[order[i]], typical[order[i]]
	}' "$dir/states.txt" | cut -c 1-150
}

# The stretches that were judged bad, with state and reasons, and the last line.
tell_verdict() { # NAME STATUS
	printf '  %s.kymo\t%s (exit %s)\n' "$1" "$(tail -1 "$dir/$1.txt")" "$2"
	awk '
	function tell() { if (label != "") printf "%10.1f to %4.1f s  %-9s %s\n", from, to, label, why }
	$3 == "bad" {
		if ($5 == label && $1 <= to) { to = $2; next }
		tell()
		from = $1; to = $2; label = $5; why = $6
		for (i = 7; i <= NF; i++) why = why " " $i
	}
	END { tell() }' "$dir/$1.txt" | cut -c 1-150
}

evaluate() {
	kymo score -m "$dir/model.json" "$dir/normal.kymo" "$dir/trouble.kymo" --evaluate \
		--verdict "$(verdicts | sed 's/ $//' | comma)" --json 2>/dev/null >"$dir/evaluation.json"
}

tell_story() { # NORMAL TROUBLE: the two exit statuses
	echo
	echo "1  recorded: a redis-server with real clients, every system call of it and of them"
	tell_recording train "at work: $GOOD; in trouble: $BAD"
	tell_recording normal "a fresh run, at work only"
	tell_recording trouble "a fresh run, in and out of trouble"
	echo
	echo "2  learned: the states of this service, named by the marks in train.kymo"
	tell_states
	echo
	echo "3  judged: windows of 1 s, four a second"
	tell_verdict normal "$1"
	tell_verdict trouble "$2"
	echo
	echo "4  how often it was right, in windows wholly inside a marked phase of the fresh runs"
	jq -r '.evaluation.phases[] | "  \(.name)\t\(.verdict)\t\(.right) of \(.windows)"' "$dir/evaluation.json" | expand -t 14
	echo
	echo "files: $dir (captures, model.json; normal.txt and trouble.txt are the whole reports)"
}

results() {
	local n bytes
	n=$(all events | sum)
	bytes=$(all jq .bytes | sum)
	jq -r '.evaluation | "RESULT demo_window_accuracy \(.balanced_accuracy * 1000 | round / 1000) share 1",
		"RESULT demo_worst_phase \([.phases[].accuracy] | min * 1000 | round / 1000) share 1"' "$dir/evaluation.json"
	echo "RESULT demo_lost $(all lost | sum) events 3"
	awk -v b="$bytes" -v n="$n" 'BEGIN { printf "RESULT demo_bytes_per_event %.2f bytes 3\n", b / n }'
	echo "RESULT demo_seconds $(($(date +%s) - started)) s 1"
	awk -v c="$(all jq .cost.cpu_ns | sum)" -v t="$(all span_ns | sum)" \
		'BEGIN { printf "RESULT demo_recorder_cpu %.1f percent_of_a_cpu 3\n", 100 * c / t }'
}

mkdir -p "$dir"
needs() {
	for tool; do command -v "$tool" >/dev/null || die "$tool is missing: make setup installs it"; done
}
needs jq
if kymo doctor >"$dir/doctor.txt" 2>&1; then
	needs redis-server redis-benchmark stress-ng unshare nsenter
	[ -n "$small" ] || echo "recording a redis-server on loopback for about two minutes ..."
	record_all
	[ -z "$small" ] || exit 0
else
	why=$(grep -m1 '^no' "$dir/doctor.txt" || tail -1 "$dir/doctor.txt")
	echo "this host cannot be recorded ($(echo "$why" | tr -s ' ')): going on with the real, small captures of datasets/tiny"
	take_tiny
fi
learn || die "learning failed, see $dir"
judge normal; normal=$?
judge trouble; trouble=$?
evaluate
tell_story $normal $trouble
echo
results
[ "$normal" = 0 ] && [ "$trouble" = 1 ] && [ "$(all lost | sum)" = 0 ]
