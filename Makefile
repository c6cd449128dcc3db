# SPDX-License-Identifier: Apache-2.0
#
# make                    build everything into build/release
# make check              install what is missing, build, run every test
# make check-long         the same with the full counts of the sweeps (kills, bytes, faults)
# make check-vm           the recorder's tests on Debian's own kernels (6.1, 6.1 PREEMPT_RT, 6.12) under qemu
# make bench-format       record real programs; how small and fast that is beside Parquet, as RESULT lines
# make bench-record       what recording costs beside ftrace and a floor, as RESULT lines; ARGS="--reps 1 --scale 10"
# make bench-replay       how truly recordings happen again, and how fast; ARGS="--reps 1 --only scenes --scenes find,git"
# make bench-cluster      the clusterers beside scikit-learn, Armadillo, fastcluster and R; ARGS="--reps 1 --only ward"
# make conformance FIXTURES=DIR   the clusterers against a folder of expected outcomes (tests/golden/clustering)
# make golden             write the golden files anew (in the commit that says why)
# make demo               install what is missing, build, do the main job on a live redis
# make setup              install the Debian packages for all of it (setup.sh holds the list)
# make static             the recording tools without shared libraries, in build/static/bin: one file to copy to a host
# make asan | tsan        the same tree under a sanitizer, in build/asan or build/tsan
# make lint | fmt         hold the tree against its own rules | format it in place
# make man                rewrite the option part of every man page from its tool's table
# make fuzz FUZZ=chunk TIME_S=60    fuzz one parser with libFuzzer; finds go to build/fuzz
# make noheaders          compile what must not need Linux with Linux's headers poisoned
# make install DESTDIR= prefix=/usr/local | uninstall
# make clean
#
# FLAVOUR=release|asan|tsan|static picks the folder and the flags; V=1 shows the commands.
# Files are found by pattern (see "what is built"), so a new tool or module needs no edit here.

FLAVOUR ?= release
B       := build/$(FLAVOUR)
prefix  ?= /usr/local
VERSION := $(shell sed -n 's/^.define KYMO_VERSION "\(.*\)"/\1/p' format/kymo.h)

ifneq ($(origin CC),default)
else
CC := gcc
endif
CLANG     ?= $(firstword $(foreach c,clang clang-14 clang-16 clang-15,$(shell command -v $c 2>/dev/null)))
STRIP_BPF ?= $(firstword $(foreach c,llvm-strip llvm-strip-14 llvm-strip-16 llvm-strip-15,$(shell command -v $c 2>/dev/null)))
BPFTOOL   ?= $(firstword $(foreach c,bpftool /usr/sbin/bpftool,$(shell command -v $c 2>/dev/null)))
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) '$(2)';)

# -- flags -------------------------------------------------------------------------------------

OPT_release := -O3 -g
OPT_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined
# gcc's guess at what is uninitialized misses its aim in instrumented code.
OPT_asan    += -Wno-maybe-uninitialized
OPT_tsan    += -Wno-maybe-uninitialized
# The C library's own look-ups of users would load modules at run time: record/users.c has its own.
OPT_static  := -O3 -g -DKYMO_STATIC
OPT         := $(OPT_$(FLAVOUR))
$(if $(OPT),,$(error FLAVOUR is release, asan, tsan or static, not "$(FLAVOUR)"))
STATIC      := $(filter static,$(FLAVOUR))

WARN := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wundef -Wmissing-prototypes $(if $(filter true,$(CI)),-Werror)
# OpenMP's own runtime is not built for tsan, which would report it, and clang's is not at hand:
# there the loops run on one thread.
OPENMP := $(if $(filter tsan fuzz static,$(FLAVOUR)),-Wno-unknown-pragmas,-fopenmp)
BASE_CFLAGS := -std=c11 -D_GNU_SOURCE $(WARN) -ffp-contract=off -ffile-prefix-map=$(CURDIR)=. -I.
CFLAGS ?=
ALL_CFLAGS = $(BASE_CFLAGS) $(OPENMP) $(OPT) $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(OPT) -Wl,--as-needed $(if $(STATIC),-static -s) $(LDFLAGS)

# -- what is here ------------------------------------------------------------------------------

have = $(shell pkg-config --exists $(1) 2>/dev/null && echo $(1))
MISSING := $(strip $(foreach p,libzstd libxxhash jansson,$(if $(call have,$p),,$p)))
GOALS := $(or $(MAKECMDGOALS),all)
ifneq ($(MISSING),)
ifneq ($(filter-out setup check demo clean fmt,$(GOALS)),)
$(error missing libraries: $(MISSING); "make setup" installs them on Debian)
endif
endif
PKG_CFLAGS := $(shell pkg-config --cflags libzstd libxxhash jansson 2>/dev/null)
LIBS_TRACE := $(shell pkg-config $(if $(STATIC),--static) --libs libzstd libxxhash jansson 2>/dev/null) -lm -lpthread $(if $(STATIC),,-ldl)

# OpenBLAS in its OpenMP flavour, by explicit path, so that update-alternatives cannot swap it.
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BLAS_DIR  := $(wildcard /usr/lib/$(MULTIARCH)/openblas-openmp)
ifneq ($(BLAS_DIR),)
LIBS_BLAS := -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR) -llapacke -lopenblas
else
LIBS_BLAS := -llapacke -lopenblas
endif
PKG_CFLAGS += $(addprefix -isystem ,$(wildcard /usr/include/$(MULTIARCH)/openblas-openmp))

RECORD_LACKS := $(foreach p,libbpf libelf zlib libcap libseccomp,$(if $(call have,$p),,$p)) \
  $(if $(CLANG),,clang) $(if $(STRIP_BPF),,llvm-strip) $(if $(BPFTOOL),,bpftool)
RECORD_LACKS := $(strip $(RECORD_LACKS))
LIBS_RECORD := $(shell pkg-config $(if $(STATIC),--static) --libs libbpf libelf zlib libcap libseccomp 2>/dev/null) -lpthread

# What a sandbox needs: Linux, and its filters.
REPLAY_LACKS := $(if $(filter Linux,$(shell uname -s)),,Linux) $(if $(call have,libseccomp),,libseccomp)
REPLAY_LACKS := $(strip $(REPLAY_LACKS))
LIBS_REPLAY  := $(if $(REPLAY_LACKS),,$(shell pkg-config $(if $(STATIC),--static) --libs libseccomp 2>/dev/null) -lpthread)

# Fits over several processes: a module that --mpi alone opens, where Open MPI is.
MPI_HAS := $(if $(STATIC)$(filter fuzz tsan,$(FLAVOUR)),,$(call have,ompi-c))
MPI_MODULE := $(if $(MPI_HAS),$(B)/lib/kymo-mpi.so)

# What importers need beside the rest; each is left out by itself.
IMPORT_HAS   := $(foreach p,libpcap zlib babeltrace2,$(if $(call have,$p),$p))
IMPORT_LACKS := $(filter-out $(IMPORT_HAS),libpcap zlib babeltrace2)
import_libs   = $(if $(filter $(1),$(IMPORT_HAS)),$(shell pkg-config --libs $(1) 2>/dev/null))
LIBS_IMPORT  := $(foreach p,$(IMPORT_HAS),$(call import_libs,$p))

# -- what is built -----------------------------------------------------------------------------

ALL_C   := $(sort $(shell find format record analyze replay -name '*.c' 2>/dev/null))
MAIN_C  := $(filter format/kymo.c format/kymo-%.c,$(ALL_C)) \
           $(foreach d,record analyze replay,$(filter $d/kymo-%.c,$(ALL_C)))
PART_C  := $(filter-out $(MAIN_C) analyze/mpi/% replay/stage/actor/%,$(ALL_C))
LIB_C   := $(filter format/%,$(PART_C))
BPF_C   := $(wildcard bpf/*.bpf.c)
TEST_C  := $(wildcard tests/unit/test_*.c)
HELP_C  := $(wildcard tests/lib/*.c)
SYNTH_C := $(wildcard datasets/*.c)
FUZZ_C  := $(wildcard tests/fuzz/fuzz_*.c)
READ_C  := $(wildcard tests/minread/*.c)
BENCH_C := $(wildcard tests/bench/*.c)

# What is of use on a host that is recorded, and needs no more than the recorder.
ifneq ($(STATIC),)
MAIN_C := $(filter record/% format/kymo.c format/kymo-info.c format/kymo-check.c format/kymo-cat.c,$(MAIN_C))
endif

ifneq ($(RECORD_LACKS),)
MAIN_C := $(filter-out record/%,$(MAIN_C))
PART_C := $(filter-out record/%,$(PART_C))
TEST_C := $(filter-out $(shell grep -l '"record/' $(TEST_C) /dev/null 2>/dev/null),$(TEST_C))
FUZZ_C := $(filter-out $(shell grep -l '"record/' $(FUZZ_C) /dev/null 2>/dev/null),$(FUZZ_C))
BENCH_C := $(filter-out tests/bench/bench_floor.c,$(BENCH_C))
endif

ifneq ($(REPLAY_LACKS),)
MAIN_C := $(filter-out replay/kymo-replay.c replay/kymo-synth.c,$(MAIN_C))
PART_C := $(filter-out replay/stage/% replay/perform.c,$(PART_C))
TEST_C := $(filter-out $(shell grep -l '"replay/stage/' $(TEST_C) /dev/null 2>/dev/null),$(TEST_C))
BENCH_C := $(filter-out tests/bench/bench_stage.c,$(BENCH_C))
endif

obj    = $(patsubst %.c,$(B)/obj/%.o,$(1))
needs  = $(shell grep -qs 'needs: $(2)' $(1) && echo yes)
MAINS := $(addprefix $(B)/bin/,$(notdir $(MAIN_C:.c=)))
LIB   := $(B)/libkymo.a
FOLDER_LIBS := $(foreach d,record analyze replay,$(if $(filter $d/%,$(PART_C)),$(B)/lib$d.a))
SKEL  := $(if $(RECORD_LACKS),,$(BPF_C:bpf/%.bpf.c=$(B)/gen/%.skel.h))
UNIT  := $(TEST_C:tests/unit/%.c=$(B)/tests/%)
REPLAY_FUZZ := $(if $(wildcard tests/fuzz/replay_main.c),$(FUZZ_C:tests/fuzz/%.c=$(B)/tests/replay_%))
MINREAD := $(READ_C:tests/minread/%.c=$(B)/tests/%)
SYNTH := $(SYNTH_C:datasets/%.c=$(B)/datasets/%)
BENCH := $(BENCH_C:tests/bench/%.c=$(B)/tests/%)

.PHONY: all static static-tools unit check check-long check-vm bench-format bench-record bench-cluster bench-replay conformance golden demo setup asan tsan lint fmt man fuzz fuzzer noheaders install uninstall clean left-out
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(LIB) $(MAINS) $(SYNTH) $(MPI_MODULE) left-out
unit: $(UNIT) $(REPLAY_FUZZ) $(MINREAD) $(BENCH)

left-out:
	@$(if $(REPLAY_LACKS),echo "left out: kymo replay and synth for want of $(REPLAY_LACKS); make setup installs libseccomp",:)
	@$(if $(RECORD_LACKS),echo "left out: record/ and bpf/ for want of $(RECORD_LACKS); make setup installs them",:)
	@$(if $(MPI_HAS)$(STATIC),:,echo "left out: --mpi of kmeans and gmm for want of Open MPI; make setup installs it")
	@$(if $(IMPORT_LACKS),echo "left out: the importers that need $(IMPORT_LACKS); make setup installs them",:)

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# record/ alone sees the kernel's skeletons and libbpf. They come in with -isystem, which -MMD
# leaves out, so they are named here.
RECORD_OBJ := $(call obj,$(filter record/%,$(MAIN_C) $(PART_C)))
RECORD_TESTS := $(call obj,$(shell grep -l '"record/' $(TEST_C) /dev/null 2>/dev/null))
$(RECORD_OBJ) $(RECORD_TESTS): PKG_CFLAGS += -isystem $(B)/gen $(shell pkg-config --cflags libbpf libcap libseccomp 2>/dev/null)
$(RECORD_OBJ) $(RECORD_TESTS): $(SKEL)

# The fixed text of a plan as a C program is part of who writes it.
$(B)/obj/replay/plan/emit_c.o: replay/plan/played.inc

# Open MPI's headers are not written for our warnings.
$(B)/lib/kymo-mpi.so: analyze/mpi/module.c
	@mkdir -p $(@D)
	$(call say,so,$@)$(CC) $(filter-out -fopenmp,$(ALL_CFLAGS)) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags ompi-c 2>/dev/null)) \
	  -fPIC -shared -MMD -MP -MF $(B)/lib/kymo-mpi.d -o $@ $< $(shell pkg-config --libs ompi-c 2>/dev/null)

# One importer a library: the file that includes it is told whether it is there.
import_has = $(if $(filter $(1),$(IMPORT_HAS)),-DKYMO_HAVE_$(2) $(shell pkg-config --cflags $(1) 2>/dev/null))
$(B)/obj/format/import/pcap.o: PKG_CFLAGS += $(call import_has,libpcap,PCAP)
$(B)/obj/format/import/input.o: PKG_CFLAGS += $(call import_has,zlib,ZLIB)
$(B)/obj/format/import/ctf.o: PKG_CFLAGS += $(call import_has,babeltrace2,BABELTRACE2)

# The stage: what the actors of a replay run. It stands alone (no library, no sanitizer, linked to lie where
# replay/plan/image.h says) and is carried inside of kymo-replay.
STAGE_C   := $(wildcard replay/stage/actor/*.c)
STAGE_OBJ := $(STAGE_C:%.c=$(B)/stage/%.o) $(B)/stage/replay/stage/actor/actor_entry.o
STAGE_ELF := $(B)/gen/stage.elf
STAGE_CFLAGS := -std=c11 -O2 $(WARN) -ffreestanding -fno-builtin -fpie -fvisibility=hidden -fno-stack-protector -fno-asynchronous-unwind-tables \
  -fno-tree-loop-distribute-patterns -fcf-protection=none -ffile-prefix-map=$(CURDIR)=. -I.
$(B)/stage/%.o: %.c
	@mkdir -p $(@D)
	$(call say,stage,$<)$(CC) $(STAGE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/stage/%.o: %.S
	@mkdir -p $(@D)
	$(call say,stage,$<)$(CC) -I. -c -o $@ $<
$(STAGE_ELF): $(STAGE_OBJ)
	@mkdir -p $(@D)
	$(call say,ld,$@)$(CC) -nostdlib -static -no-pie -s -Wl,--build-id=none -Wl,-z,norelro -Wl,-z,noexecstack -Wl,-Ttext-segment=0x2b00000000 \
	  -Wl,--section-start=.kymo.inject=0x2b00800000 -o $@ $^
$(B)/obj/replay/stage/stage_blob.o: replay/stage/stage_blob.S $(STAGE_ELF)
	@mkdir -p $(@D)
	$(call say,cc,$<)$(CC) -DSTAGE_ELF='"$(STAGE_ELF)"' -c -o $@ $<

archive = $(call say,ar,$@)rm -f $@ && ar crD $@ $^
$(LIB): $(call obj,$(LIB_C))
	$(archive)
define folder_rule
$(B)/lib$(1).a: $(call obj,$(filter $(1)/%,$(PART_C))) $(if $(filter replay/stage/%,$(filter $(1)/%,$(PART_C))),$(B)/obj/replay/stage/stage_blob.o)
	$$(archive)
endef
$(foreach d,record analyze replay,$(eval $(call folder_rule,$d)))

# Link one program: its object, its folder's parts, the library, and what its first lines ask for.
link = $(call say,ld,$@)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter-out $(LIB),$(filter %.a,$^)) $(LIB) $(1)
main_libs = $(if $(filter record/%,$(1)),$(LIBS_RECORD)) $(if $(filter replay/%,$(1)),$(LIBS_REPLAY)) \
            $(if $(call needs,$(1),openblas),$(LIBS_BLAS)) \
            $(foreach p,$(IMPORT_HAS),$(if $(call needs,$(1),$p),$(call import_libs,$p))) \
            $(if $(call needs,$(1),open),$(filter -fopenmp,$(OPENMP))) $(LIBS_TRACE)
define main_rule
$(B)/bin/$(notdir $(1:.c=)): LIBS_MAIN := $(call main_libs,$(1))
$(B)/bin/$(notdir $(1:.c=)): $(call obj,$(1)) $(filter $(B)/lib$(firstword $(subst /, ,$(1))).a,$(FOLDER_LIBS)) $(LIB)
	@mkdir -p $$(@D)
	$$(call link,$$(LIBS_MAIN))
endef
$(foreach m,$(MAIN_C),$(eval $(call main_rule,$m)))

LIBS_ALL = $(if $(RECORD_LACKS),,$(LIBS_RECORD)) $(LIBS_REPLAY) $(LIBS_IMPORT) $(LIBS_BLAS) $(filter -fopenmp,$(OPENMP)) $(LIBS_TRACE)
$(B)/tests/test_%: $(B)/obj/tests/unit/test_%.o $(call obj,$(HELP_C)) $(FOLDER_LIBS) $(LIB)
	@mkdir -p $(@D)
	$(call link,-lcmocka $(LIBS_ALL))
# Memory and the disk fail there at the call that the test names.
comma := ,
$(B)/tests/test_faults: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc strdup strndup write fsync rename)
$(B)/tests/test_rotate: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,write fdatasync)
$(B)/tests/replay_%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/replay_main.o $(FOLDER_LIBS) $(LIB)
	@mkdir -p $(@D)
	$(call link,$(LIBS_ALL))
$(B)/tests/minread: $(call obj,$(READ_C))
	@mkdir -p $(@D)
	$(call say,ld,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_TRACE)
$(B)/datasets/%: $(B)/obj/datasets/%.o $(LIB)
	@mkdir -p $(@D)
	$(call link,$(LIBS_TRACE))
$(B)/tests/bench_%: $(B)/obj/tests/bench/bench_%.o $(call obj,$(HELP_C)) $(FOLDER_LIBS) $(LIB)
	@mkdir -p $(@D)
	$(call link,$(LIBS_ALL))

# -- the kernel side ---------------------------------------------------------------------------

BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(shell uname -m)))
$(B)/gen/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(call say,bpf,$<)$(CLANG) -O2 -g -mcpu=v3 -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -Wall \
	  -ffile-prefix-map=$(CURDIR)=. -fdebug-compilation-dir=. -I. $(shell pkg-config --cflags libbpf 2>/dev/null) -MMD -MP -c -o $@ $<
	$(Q)$(STRIP_BPF) -g $@
$(B)/gen/%.skel.h: $(B)/gen/%.bpf.o
	$(call say,skel,$@)$(BPFTOOL) gen skeleton $< > $@

# -- what one runs -----------------------------------------------------------------------------

JOBS ?= $(shell nproc 2>/dev/null || echo 2)

setup:
	./setup.sh build check vm demo

# What is installed by setup is only seen by a make that starts after it.
check:
	./setup.sh build check vm
	$(MAKE) -j$(JOBS) all unit
	$(MAKE) -j$(JOBS) FLAVOUR=asan unit
	$(MAKE) static
	tests/run.sh

check-long:
	KYMO_KILLS=50 KYMO_LONG=1 $(MAKE) check

check-vm:
	./setup.sh build vm
	$(MAKE) -j$(JOBS) all
	KYMO_VM_TOTAL_S=1000 tests/run.sh vm

bench-format:
	./setup.sh build bench
	$(MAKE) -j$(JOBS) all unit
	tests/bench/format.sh

bench-record:
	./setup.sh build bench
	$(MAKE) -j$(JOBS) all unit
	tests/bench/record.sh $(ARGS)

bench-cluster:
	./setup.sh build bench
	$(MAKE) -j$(JOBS) all unit
	tests/bench/cluster.sh $(ARGS)

bench-replay:
	./setup.sh build bench
	$(MAKE) -j$(JOBS) all unit
	tests/bench/replay.sh $(ARGS)

FIXTURES ?= tests/golden/clustering
conformance: all
	KYMO_BIN=$(B)/bin tests/conformance.py $(FIXTURES)

golden: all
	tests/golden/make.sh

demo:
	./setup.sh build demo
	$(MAKE) -j$(JOBS) all
	./datasets/demo.sh

static:
	$(MAKE) -j$(JOBS) FLAVOUR=static static-tools
static-tools: $(MAINS) left-out
	@cd $(B)/bin && wc -c $(notdir $(MAINS)) | awk '{ printf "%8.1f MiB  %s\n", $$1 / 1048576, $$2 }'

asan tsan:
	$(MAKE) -j$(JOBS) FLAVOUR=$@ all unit

lint: all
	tests/run.sh lint

fmt:
	$(Q)clang-format -i $(shell tests/lint/format.sh --list)

man: all
	tests/lint/man.sh --write

noheaders:
	tests/lint/noheaders.sh

TIME_S ?= 60
fuzz:
	$(if $(FUZZ),,$(error make fuzz FUZZ=NAME, one of $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_C))))
	$(MAKE) -j$(JOBS) FLAVOUR=fuzz CC=$(CLANG) fuzzer
	@mkdir -p build/fuzz/found/$(FUZZ) tests/fuzz/corpus/$(FUZZ)
	build/fuzz/fuzz_$(FUZZ) -max_total_time=$(TIME_S) -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
	  -artifact_prefix=build/fuzz/crash-$(FUZZ)- build/fuzz/found/$(FUZZ) tests/fuzz/corpus/$(FUZZ)
fuzzer: $(B)/fuzz_$(FUZZ)
$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(FOLDER_LIBS) $(LIB)
	$(call say,ld,$@)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS_ALL)

MAN_PAGES = $(wildcard $(MAIN_C:.c=.1))
D := $(DESTDIR)$(prefix)
install: all
	install -d $(D)/bin $(D)/include $(D)/lib/pkgconfig $(D)/share/man/man1 \
	  $(D)/share/bash-completion/completions $(D)/share/zsh/site-functions
	install -m 755 $(MAINS) $(D)/bin
	install -m 644 format/kymo.h $(D)/include
	install -m 644 $(LIB) $(D)/lib
	$(if $(MPI_MODULE),install -d $(D)/lib/kymo && install -m 755 $(MPI_MODULE) $(D)/lib/kymo,:)
	install -m 644 $(MAN_PAGES) $(D)/share/man/man1
	$(if $(RECORD_LACKS),:,install -d $(D)/lib/systemd/system && sed 's:@bindir@:$(prefix)/bin:' \
	  record/kymo-record.service > $(D)/lib/systemd/system/kymo-record.service)
	printf '%s\n' 'prefix=$(prefix)' 'Name: kymo' 'Description: captures of what a Linux host did' 'Version: $(VERSION)' \
	  'Requires: libzstd libxxhash jansson' 'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib -lkymo -lm -lpthread' \
	  > $(D)/lib/pkgconfig/kymo.pc
	$(B)/bin/kymo --completion bash > $(D)/share/bash-completion/completions/kymo
	$(B)/bin/kymo --completion zsh > $(D)/share/zsh/site-functions/_kymo

uninstall:
	rm -f $(addprefix $(D)/bin/,$(notdir $(MAINS))) $(addprefix $(D)/share/man/man1/,$(notdir $(MAN_PAGES))) \
	  $(D)/include/kymo.h $(D)/lib/libkymo.a $(D)/lib/kymo/kymo-mpi.so $(D)/lib/pkgconfig/kymo.pc $(D)/lib/systemd/system/kymo-record.service \
	  $(D)/share/bash-completion/completions/kymo $(D)/share/zsh/site-functions/_kymo

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
