#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy finds nothing in what changed since it last found nothing (build/tidy remembers by content).
# Its analyzer searches shallowly, which is seconds instead of minutes; DEEP=1 searches as far as it can.
set -u
cd "$(dirname "$0")/../.." || exit 3
tool=$(command -v clang-tidy-14 || command -v clang-tidy) || { echo "clang-tidy is not installed"; exit 77; }
mkdir -p build/tidy
export tool
export shallow="--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=mode=shallow"
[ -z "${DEEP-}" ] || shallow=
export flags="-std=c11 -D_GNU_SOURCE -Wno-unknown-pragmas -I. -isystem build/release/gen \
  $(pkg-config --cflags libzstd libxxhash jansson 2>/dev/null)"
for folder in /usr/include/*/openblas-openmp; do
    [ -d "$folder" ] && flags="$flags -isystem $folder"
done
headers=$(cat .clang-tidy $(find format record analyze replay -name '*.h' | sort) | sha256sum)
export headers
check() {
    key=build/tidy/$( (echo "$headers"; cat "$1"; echo "$1$shallow") | sha256sum | cut -d' ' -f1)
    [ -e "$key" ] && exit 0
    found=$("$tool" --quiet $shallow "$1" -- $flags 2>/dev/null) && { : >"$key"; exit 0; }
    printf '%s\n' "$found"
    exit 1
}
export -f check
flags="$flags $(pkg-config --cflags ompi-c 2>/dev/null | sed 's/-I/-isystem /g')"
sources=$(find format analyze replay record -name '*.c')
# Without Open MPI's headers its module does not compile.
pkg-config --exists ompi-c 2>/dev/null || sources=$(printf '%s\n' $sources | grep -v ^analyze/mpi/)
# Without the kernel's skeletons, record/ does not compile.
ls build/release/gen/*.skel.h >/dev/null 2>&1 || sources=$(printf '%s\n' $sources | grep -v ^record/)
printf '%s\n' $sources | xargs -P 2 -I{} bash -c 'check "$1"' _ {} || exit 1
