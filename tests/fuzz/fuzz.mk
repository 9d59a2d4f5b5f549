# Fuzz targets: tests/fuzz/fuzz_<name>.c (see fuzz.h). Two programs of each:
#   $(O)/fuzz/replay_<name>   plain, any compiler
#   $(O)/fuzz/<name>          libFuzzer: the variant SAN=fuzzer-no-link,address,undefined, with clang
#
#   make fuzz [FUZZ_SECONDS=60] [FUZZ_TARGETS="wire names"]
#   make fuzz-smoke           the plain ones for a few seconds; with SAN=address,undefined better
FUZZ_NEEDS_wire      := bus/wire schemas lib/base
FUZZ_NEEDS_names     := lib/oci lib/base
FUZZ_NEEDS_documents := lib/oci lib/base
FUZZ_NEEDS_toml      := lib/base
FUZZ_NEEDS_ttrpc     := lib/ttrpc lib/base
FUZZ_NEEDS_tar       := workers/snapshot
FUZZ_NEEDS_erofs     := workers/snapshot
FUZZ_NEEDS_inflate   := workers/snapshot
FUZZ_NEEDS_settle    := workers/snapshot
FUZZ_NEEDS_diff      := workers/snapshot
FUZZ_NEEDS_archive   := ctr
FUZZ_NEEDS_filter    := lib/filter schemas lib/base

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(sort $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SAN     := fuzzer-no-link,address,undefined

define fuzz_rules
$(O)/fuzz/replay_$1: $(O)/obj/tests/fuzz/fuzz_$1.o $(O)/obj/tests/fuzz/replay.o $(call archives,$(FUZZ_NEEDS_$1))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o,$$^) $(call libs,$(FUZZ_NEEDS_$1))

$(O)/fuzz/$1: $(O)/obj/tests/fuzz/fuzz_$1.o $(call archives,$(FUZZ_NEEDS_$1))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -fsanitize=fuzzer -o $$@ $$(filter %.o,$$^) $(call libs,$(FUZZ_NEEDS_$1))
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_rules,$t)))

.PHONY: fuzz fuzz-bins fuzz-replays fuzz-smoke
fuzz-replays: $(FUZZ_TARGETS:%=$(O)/fuzz/replay_%)
fuzz-bins: fuzz-replays $(FUZZ_TARGETS:%=$(O)/fuzz/%)

fuzz:
	+$(Q)$(MAKE) --no-print-directory CC=clang SAN=$(FUZZ_SAN) FAULT= fuzz-bins
	$(Q)tests/fuzz/run fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

fuzz-smoke: fuzz-replays
	$(Q)tests/fuzz/run smoke $(O)/fuzz $(FUZZ_TARGETS)
