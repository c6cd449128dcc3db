#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh USE...: install the Debian packages of the named uses (build, check, vm, bench, demo) that are missing.
#
# Goes on where it cannot install (not root, offline, not Debian) as long as what is there may do:
# the build says itself what it left out, and tests that cannot run skip aloud.
set -u

# The list. Libraries first, then the tools that use them.
build="gcc make pkg-config
  libzstd-dev libxxhash-dev libjansson-dev
  libopenblas-openmp-dev liblapacke-dev
  libbpf-dev libelf-dev zlib1g-dev libcap-dev libseccomp-dev
  libpcap-dev libbabeltrace2-dev libopenmpi-dev openmpi-bin
  clang llvm bpftool linux-libc-dev"
check="g++ libcmocka-dev bats mandoc git
  clang-format clang-tidy cppcheck libclang-rt-14-dev
  redis-server redis-tools stress-ng procps util-linux xxd python3 jq linux-perf strace curl sqlite3 zsh
  busybox-static runc bpftrace libcap2-bin"
bench="redis-server redis-tools nginx wrk postgresql sqlite3 zstd jq util-linux linux-perf procps
  python3-sklearn python3-fastcluster g++ libarmadillo-dev r-base-core r-cran-mclust r-cran-dbscan"
# Node.js from elsewhere brings its own npm, beside which Debian's cannot be installed.
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    check="$check nodejs npm"
    bench="$bench nodejs npm"
fi
# Other kernels, emulated; they are fetched when they are run (tests/vm/run.sh).
vm="qemu-system-x86 busybox-static cpio"
demo="redis-server redis-tools stress-ng procps util-linux jq"

[ $# -gt 0 ] || set -- build check vm demo
wanted=
for use in "$@"; do
    case $use in
    build) wanted="$wanted $build" ;;
    check) wanted="$wanted $check" ;;
    bench) wanted="$wanted $bench" ;;
    vm) wanted="$wanted $vm" ;;
    demo) wanted="$wanted $demo" ;;
    *) echo "setup: no use is called $use; there are build, check, vm, bench and demo" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: not a Debian system; install by hand what these Debian packages hold:" $wanted
    exit 0
fi
installed=$(dpkg-query -W -f '${Package} ${Status}\n' 2>/dev/null | sed -n 's/ install ok installed$//p')
missing=
for package in $(printf '%s\n' $wanted | sort -u); do
    printf '%s\n' "$installed" | grep -qx "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "setup: everything for $* is installed"
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "setup: not root, going on without; as root: apt-get install$missing"
    exit 0
fi

log=$(mktemp) || exit 6
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086 -- a list of words
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 $1 >>"$log" 2>&1
}
echo "setup: installing$missing"
# A package that starts a service here is wanted for its program alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    trap 'rm -f "$log" $policy' EXIT
fi
if ! apt-get update -q >"$log" 2>&1; then
    echo "setup: the package lists cannot be fetched (offline?): $(grep -m1 '^[EW]:' "$log")"
fi
if install "$missing"; then
    echo "setup: done"
    exit 0
fi
# One package that cannot be had must not keep the others away.
failed=
for package in $missing; do
    install "$package" || failed="$failed $package"
done
[ -z "$failed" ] || echo "setup: could not install$failed: $(grep -m1 '^E:' "$log")"
exit 0
