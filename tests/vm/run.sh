#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/vm/run.sh KERNEL (make check-vm runs each): boot one of Debian's own kernels under qemu's software emulation and
# run tests/vm/inside.sh there; its TAP is our output. Status 77 and one line where that cannot be.
#
# KERNEL: cloud (6.1, which has kprobes and LSM), rt (6.1, PREEMPT_RT), new (the 6.12 that is packaged beside it)
# A kernel is a package fetched by apt-get download into build/vm and unpacked there, never installed; what is there is
# used again. KYMO_VM_S: how long a machine may take (300). KYMO_VM_VERBOSE=1 shows its console at the end.
set -u
cd "$(dirname "$0")/../.." || exit 3
bin=${KYMO_BIN:-build/release/bin}
work=$PWD/build/vm
name=${1:?KERNEL: cloud, rt or new}
cpus=2
boot_s=${KYMO_VM_S:-300}

skip() { echo "$*"; exit 77; }

# The package that holds the kernel: what the meta package names now, or the latest of that series.
package() {
    case $name in
    cloud | rt) apt-cache depends "linux-image-$name-amd64" 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }' ;;
    new)
        apt-cache search --names-only '^linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64-unsigned$' 2>/dev/null |
            cut -d' ' -f1 | sort -V | tail -n 1
        ;;
    esac
}
fetch() {
    local package
    package=$(package)
    [ -n "$package" ] || { apt-get update -q >/dev/null 2>&1; package=$(package); }
    [ -n "$package" ] || skip "apt knows no kernel package for $name"
    rm -rf "$work/$name" && mkdir -p "$work/$name/part" || exit 3
    (cd "$work/$name/part" && timeout 120 apt-get download -q "$package" >../log 2>&1) ||
        skip "$package cannot be downloaded: $(grep -m1 '^[EW]:' "$work/$name/log")"
    dpkg-deb --fsys-tarfile "$work/$name"/part/*.deb | tar -x -C "$work/$name/part" --wildcards './boot/vmlinuz*' || exit 3
    mv "$work/$name"/part/boot/vmlinuz* "$work/$name/vmlinuz"
    rm -rf "$work/$name/part"
}

# busybox, kymo and what it links, the programs of the tests: one tree, packed as the kernel takes it.
build_root() {
    local root=$work/root tool
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,kymo/bin} || exit 3
    cp "$(command -v busybox)" "$root/bin/busybox"
    for tool in $("$root/bin/busybox" --list | grep -vx busybox); do ln -s busybox "$root/bin/$tool"; done
    for tool in kymo kymo-record kymo-doctor kymo-mark kymo-cat kymo-stat kymo-check kymo-info; do
        cp "$bin/$tool" "$root/kymo/bin/" && strip "$root/kymo/bin/$tool" || exit 3
    done
    cp --remove-destination "$(command -v nice)" "$root/bin/" # which Debian's busybox lacks
    # A static program is no dynamic executable, and has none.
    ldd "$root"/kymo/bin/* "$root/bin/nice" 2>/dev/null | grep -o '/[^ ]*' | grep -v '^/.*:$' | sort -u | while read -r tool; do
        mkdir -p "$root$(dirname "$tool")"
        cp -L "$tool" "$root$tool"
    done
    ${CC:-cc} -O1 -static -pthread -o "$root/bin/calls" tests/e2e/calls.c || exit 3
    ${CC:-cc} -D_GNU_SOURCE -O1 -static -o "$root/bin/only_caps" tests/vm/only_caps.c || exit 3
    cp tests/e2e/starve.sh "$root/bin/" && cp tests/vm/inside.sh "$root/init" || exit 3
    (cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$work/root.gz"
}

for tool in qemu-system-x86_64 busybox cpio strip; do
    command -v $tool >/dev/null || skip "$tool is not installed (make setup)"
done
busybox --list | grep -qx taskset || skip "this busybox lacks taskset"
[ "$(uname -m)" = x86_64 ] || skip "the kernels are those of x86-64"
[ -x "$bin/kymo-record" ] || skip "kymo-record is not built"
mkdir -p "$work"
[ -s "$work/$name/vmlinuz" ] || fetch
build_root
[ "$name" != new ] || cpus=8

tap=$work/$name/tap console=$work/$name/console
rm -f "$tap" "$console"
started=$(date +%s)
# One thread for all CPUs of the machine: under thread=multi a CPU may run on in a translation of instructions that another CPU is
# rewriting. Each attached tracepoint is such a rewrite (a static key, patched by way of int3), and once in about a dozen boots the
# kernel met an int3 that was long gone: an oops, or both CPUs stuck.
timeout -k 5 "$boot_s" qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp $cpus -m 1536 -nodefaults -display none -no-reboot \
    -kernel "$work/$name/vmlinuz" -initrd "$work/root.gz" -append 'console=ttyS0 loglevel=5 sysctl.kernel.softlockup_all_cpu_backtrace=1 panic=-1 mitigations=off' \
    -serial "file:$console" -serial "file:$tap" </dev/null
status=$?
tr -d '\r' <"$tap"
echo "# $(($(date +%s) - started)) s"
[ -z "${KYMO_VM_VERBOSE-}" ] || tr -d '\r' <"$console" | sed 's/^/# /'
# Nothing but the last test's line says that the machine came to its end.
if [ $status != 0 ] || [ "$(grep -cE '^(not )?ok ' "$tap")" != "$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$tap")" ]; then
    tail -n 30 "$console" | tr -d '\r' | sed 's/^/# /'
    echo "# the machine did not come to its end (qemu's status $status)"
    exit 1
fi
