# Coffer. One makefile, not recursive: every folder with code says in its module.mk what it is and
# what it needs; everything else (objects, archives, link lines, unit tests, the include rule) follows.
#
#   make            the programs, in build/
#   make deps       install what building and testing needs (Debian, root)
#   make check      everything that CI runs
#   make demo       a whole life of a container, shown
#   make bench      measurements beside containerd, runc and crun
#   make install    PREFIX, DESTDIR
#
# Variants: make SAN=address,undefined   make FAULT=1   (objects under build/<variant>/)

VERSION  := 0.1.0
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/coffer
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SHELL      := /bin/bash

CC     ?= gcc
ifeq ($(origin CC),default)
CC     := gcc
endif

comma   := ,
VARIANT := release
SAN     ?=
FAULT   ?=
ifneq ($(SAN),)
VARIANT := san-$(subst $(comma),-,$(SAN))
endif
ifneq ($(FAULT),)
VARIANT := $(VARIANT)-fault
endif
O := build/$(VARIANT)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
	-Wformat=2 -Wvla -Wundef -Wimplicit-fallthrough -Wpointer-arith -Wnull-dereference \
	-Wcast-qual -Wold-style-definition -Wredundant-decls
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -I. -I$(O)/gen $(WARN) $(HARDEN) $(CFLAGS) \
	-ffunction-sections -fdata-sections -DCF_VERSION='"$(VERSION)"' -DCF_REVISION='"$(REVISION)"' \
	-DCF_LIBEXECDIR='"$(LIBEXECDIR)"'
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections -Wl,--as-needed $(LDFLAGS)
ifneq ($(SAN),)
ALL_CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all -O1
ALL_LDFLAGS += -fsanitize=$(SAN)
WARN        += -Wno-null-dereference $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
else
ALL_CFLAGS  += -D_FORTIFY_SOURCE=2
endif
ifneq ($(FAULT),)
ALL_CFLAGS  += -DCF_FAULT=1
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDEXPANSION:

# --- modules and programs ------------------------------------------------------------------------
# A module.mk sets, then evaluates one of:
#   MODULE := lib/store   NEEDS := lib/base bus/wire   LIBS := -llmdb   $(eval $(module))
#   PROGRAM := coffer-task  AT := libexec/  MAIN := workers/task/main.c  NEEDS := workers/task  $(eval $(program))
# A module is all .c files of its folder but main.c; SKIP names others to leave out, GEN names
# generated sources (below $(O)/gen) that belong to it.

MODULES  :=
PROGRAMS :=

# Everything that some modules need, themselves included. Archives are linked as one group, so their
# order does not matter.
closure  = $(sort $1 $(foreach m,$1,$(foreach n,$(NEEDS_$m),$(call closure,$n))))
archives = $(foreach m,$(call closure,$1),$(ARCHIVE_$m))
libs     = -Wl,--start-group $(call archives,$1) -Wl,--end-group \
	$(sort $(foreach m,$(call closure,$1),$(LIBS_$m)))

define module
MODULES += $(MODULE)
NEEDS_$(MODULE) := $(NEEDS)
LIBS_$(MODULE)  := $(LIBS)
SRCS_$(MODULE)  := $(filter-out $(MODULE)/main.c $(addprefix $(MODULE)/,$(SKIP)),$(wildcard $(MODULE)/*.c))
OBJS_$(MODULE)  := $$(SRCS_$(MODULE):%.c=$(O)/obj/%.o) $(patsubst %.c,$(O)/gen/%.o,$(GEN))
ARCHIVE_$(MODULE) := $(O)/$(subst /,_,$(MODULE)).a
GENERATED += $(patsubst %.c,$(O)/gen/%.h,$(GEN))
NEEDS :=
LIBS :=
SKIP :=
GEN :=
endef

define program
PROGRAMS += $(AT)$(PROGRAM)
MAIN_$(AT)$(PROGRAM)  := $(MAIN)
PNEEDS_$(AT)$(PROGRAM) := $(NEEDS)
LDEXTRA_$(AT)$(PROGRAM) := $(LDEXTRA)
NEEDS :=
AT :=
LDEXTRA :=
endef

GENERATED :=
include $(sort $(wildcard lib/*/module.mk bus/*/module.mk schemas/module.mk supervisor/module.mk \
	workers/*/module.mk workers/task/shim/module.mk ctr/module.mk))

$(O)/obj/%.o: %.c | $$(GENERATED)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Messages of the shim protocol: .proto beside the code that speaks it, C generated. The generated
# files include one another, so all headers come before any object.
define proto_rules
$(O)/gen/$1.pb-c.c $(O)/gen/$1.pb-c.h &: $1.proto
	@mkdir -p $$(@D)
	$$(Q)protoc-c --proto_path=. --c_out=$(O)/gen $$<
$(O)/gen/$1.pb-c.o: $(O)/gen/$1.pb-c.c | $(GENERATED)
	$$(Q)$$(CC) $$(ALL_CFLAGS) -Wno-cast-qual -MMD -MP -c $$< -o $$@
endef
$(foreach p,$(GENERATED:$(O)/gen/%.pb-c.h=%),$(eval $(call proto_rules,$p)))

define module_rules
$(ARCHIVE_$1): $(OBJS_$1)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$m)))

define program_rules
$(O)/$1: $(MAIN_$1:%.c=$(O)/obj/%.o) $(call archives,$(PNEEDS_$1))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $(LDEXTRA_$1) -o $$@ $(MAIN_$1:%.c=$(O)/obj/%.o) $(call libs,$(PNEEDS_$1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$p)))

Q := @
ifeq ($(V),1)
Q :=
endif

.PHONY: all deps check check-unit check-fuzz check-it check-faults lint format demo bench install clean docs

# The programs as users and tests find them: build/cofferd, build/ctr, ... -> the release variant.
all: $(addprefix $(O)/,$(PROGRAMS)) $(if $(filter release,$(VARIANT)),$(addprefix build/,$(PROGRAMS)))

define program_link
build/$1: build/release/$1
	@mkdir -p $$(@D)
	@ln -f $$< $$@
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_link,$p)))

# --- unit tests -----------------------------------------------------------------------------------
# tests/unit/<module>/test_<noun>.c is one cmocka program, linked with <module> and what that needs.
UNIT_SRCS := $(wildcard tests/unit/*/test_*.c tests/unit/*/*/test_*.c tests/unit/*/*/*/test_*.c)
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(O)/unit/%)

define unit_rules
$(O)/unit/$1: $(O)/obj/tests/unit/$1.o $(call archives,$(patsubst %/,%,$(dir $1)))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$< $(call libs,$(patsubst %/,%,$(dir $1))) -lcmocka
endef
$(foreach t,$(UNIT_SRCS:tests/unit/%.c=%),$(eval $(call unit_rules,$t)))

.PHONY: unit-bins
unit-bins: $(UNIT_BINS)

# --- what people and CI call ----------------------------------------------------------------------
deps:
	dist/deps

check:
	tests/check

check-unit check-fuzz check-it check-faults lint:
	tests/check $@

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

docs: all
	build/bus-doc > docs/bus.md

demo: deps all
	dist/demo

bench: all
	tests/bench/bench
	tests/bench/images
	tests/bench/snapshots
	tests/bench/store

clean:
	rm -rf build

-include tests/fuzz/fuzz.mk
-include dist/install.mk tests/bench/rules.mk
-include $(shell find $(O) -name '*.d' 2>/dev/null)
