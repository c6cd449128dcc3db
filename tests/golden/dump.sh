#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The golden file as SPEC.md shows it: its first and its last bytes.
set -eu
cd "$(dirname "$0")"
bytes=$(wc -c < v1-small.kymo)
printf '```\n%s: %s bytes, the first 512\n\n' tests/golden/v1-small.kymo "$bytes"
od -A x -t x1z -v -N 512 v1-small.kymo
printf '\nand the last 128\n\n'
od -A x -t x1z -v -j $((bytes - 128)) v1-small.kymo
printf '```\n'
