#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/record_count.sh CAPTURE [COMM]: what record_overhead.sh asks of a recorder: "EVENTS LOST ALL", where
# an enter and an exit are an event each, so a call is two. EVENTS are those of commands that begin with COMM.
# Appends "calls lost bytes" of the capture to the file KYMO_COUNTS, for whom half an event is no unit.
set -eu
of_comm=$(kymo stat --by comm --show count --jsonl ${2:+-f "comm ~ \"$2*\""} "$1" | jq -s 'map(.count) | add // 0')
all=$(kymo stat --by comm --show count --jsonl "$1" | jq -s 'map(.count) | add // 0')
lost=$(kymo cat --jsonl -t loss "$1" |
    jq -s 'map(.dropped_ring + .dropped_nested + .dropped_queue + (.dropped_quota // 0)) | add // 0')
[ -z "${KYMO_COUNTS-}" ] || echo "$all $lost $(stat -c %s "$1")" >>"$KYMO_COUNTS"
echo "$((2 * of_comm)) $((2 * lost)) $((2 * all))"
