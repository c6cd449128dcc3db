#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Write the golden files anew, and the hexdump at the end of SPEC.md. Run by hand when the layout
# changes, in the commit that changes it; tests only ever compare.
set -eu
cd "$(dirname "$0")/../.."
build=${KYMO_BUILD:-build/release}
make "$build/tests/test_golden"
KYMO_GOLDEN_WRITE=tests/golden "$build/tests/test_golden"
tests/golden/dump.sh > build/spec.dump
sed -i '/^<!-- golden -->$/,$d' format/SPEC.md
{ echo '<!-- golden -->'; cat build/spec.dump; } >> format/SPEC.md
