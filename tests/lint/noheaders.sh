#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Reading, analysing and scoring need no Linux: compile them with the headers that only Linux has poisoned.
set -u
cd "$(dirname "$0")/../.." || exit 3
poison=build/noheaders
rm -rf $poison
mkdir -p $poison/sys $poison/linux $poison/asm
for header in sys/{epoll,eventfd,inotify,signalfd,timerfd,prctl,syscall,sendfile,capability,sysinfo,random,vfs}.h; do
    echo "#error \"$header is Linux's alone\"" >$poison/$header
done
for header in /usr/include/linux/*.h; do
    # what the C library's own <errno.h>, <limits.h> and <sys/stat.h> are made of
    case ${header##*/} in errno.h | limits.h | types.h | posix_types.h | stddef.h | stat.h | falloc.h | close_range.h) continue ;; esac
    echo "#error \"linux/${header##*/} is Linux's alone\"" >$poison/linux/${header##*/}
done
flags="-std=c11 -D_GNU_SOURCE -fsyntax-only -Wno-unknown-pragmas -isystem $poison -I. \
  $(pkg-config --cflags libzstd libxxhash jansson 2>/dev/null)"
for folder in /usr/include/*/openblas-openmp; do
    [ -d "$folder" ] && flags="$flags -isystem $folder"
done
files=$(find format analyze -name '*.c' -not -path 'analyze/mpi/*') # where MPI is, nothing is missing
[ -e replay/kymo-score.c ] && files="$files replay/kymo-score.c"
printf '%s\n' $files | xargs -P 2 -n 8 "${CC:-gcc}" $flags || exit 1
# The poison works: a file that includes one of them is refused.
printf '#include <linux/bpf.h>\n' | "${CC:-gcc}" $flags -x c - 2>/dev/null && { echo "the poison does nothing"; exit 1; }
exit 0
