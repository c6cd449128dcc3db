#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck finds nothing. A suppression stands on the line it excuses, with its reason.
set -u
cd "$(dirname "$0")/../.." || exit 3
command -v cppcheck >/dev/null || { echo "cppcheck is not installed"; exit 77; }
mkdir -p build/cppcheck
cppcheck --quiet -j 2 --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
    --cppcheck-build-dir=build/cppcheck --template='{file}:{line}: {id}: {message}' \
    -D__x86_64__ -DKYMO_PRINTF\(a,b\)= -DKYMO_MUST_USE= -I. format record analyze replay datasets/*.c
