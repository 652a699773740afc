# Tenon's house. What people type:
#
#   make          build everything: library, nginx module, tools
#   make run      build, then serve TeamOS with demo data until Ctrl-C
#   make start    the same in the background;  make stop  ends it
#   make test     build, lint, and run the whole test suite
#   make chaos    the long forms of the tests of faults: hours
#   make bench    measure, and write bench/RESULTS.md (some minutes)
#   make bench-cost  what plans and limits cost; writes bench/RESULTS-cost.md
#   make timing   whether refused logins can be told apart by their time
#   make diagrams draw the state machines in docs/ from their tables
#   make lint     format, dependency law, banned functions, symbols
#   make fmt      put C files into shape
#   make install  DESTDIR and PREFIX are honoured
#   make clean    removes build/ (never var/, where data lies)
#
# Anything longer than a few lines lies in scripts/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
ifeq (,$(filter -j%,$(MAKEFLAGS)))
MAKEFLAGS += -j2
endif

# One short line per file; V=1 shows the commands.
Q := $(if $(V),,@)
say = @printf '  %-5s %s\n' $(1) $(2)

B := build
PREFIX ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^\#define TN_VERSION "\(.*\)"/\1/p' \
                   include/tenon/base.h)
SOVERSION := 1

CC = gcc
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Werror
BASE := -std=gnu11 $(WARN) -Iinclude -I. -I$(B) -D_GNU_SOURCE -MMD -MP
# Asked when a recipe runs, not before the packages are there.
PQ_CFLAGS = $(shell pkg-config --cflags libpq)
LIBS := -Wl,--as-needed -lpq -lcjson -lsodium -lpcre2-8 -lssl -lcrypto \
        -lresolv
SAN := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer \
       -fno-sanitize-recover=undefined

core_src := $(wildcard libcore/*/*.c)
core_gen := $(if $(wildcard libcore/queries.pl),$(B)/gen/queries.c)
core_obj := $(core_src:%.c=$(B)/obj/%.o) $(core_gen:$(B)/%.c=$(B)/obj/%.o)
san_obj := $(core_src:%.c=$(B)/san/%.o) $(core_gen:$(B)/%.c=$(B)/san/%.o)
ctl_obj := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tenonctl/*.c))
tenond_obj := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tenond/*.c))
unit_src := $(shell [ ! -d t/00unit ] || find t/00unit -name '*.c' | sort) \
            $(wildcard t/20pg/*.c)
unit_bin := $(unit_src:%.c=$(B)/%)

lib := $(B)/lib/libtenon.so.$(SOVERSION)
module := $(B)/ngx/ngx_http_tenon_module.so

.PHONY: all packages packages-test packages-bench lib module tools unit run \
        start stop test chaos bench bench-cost timing diagrams lint fmt install \
        clean FORCE

all: lib module tools

packages:
	@scripts/packages.sh build run

packages-test: packages
	@scripts/packages.sh test

packages-bench: packages
	@scripts/packages.sh bench


# ---- the library ----

lib: $(lib) $(B)/lib/tenon.pc

# The list of objects is a file, so that a source that went relinks too.
$(lib): $(core_obj) $(B)/core.list
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,-soname,$(@F) -Wl,-z,defs $(LDFLAGS) -o $@ \
	      $(core_obj) $(LIBS)
	@ln -sf $(@F) $(@D)/libtenon.so

$(B)/lib/tenon.pc: scripts/tenon.pc.in Makefile include/tenon/base.h
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(CURDIR)|; s|@LIBDIR@|$(CURDIR)/$(B)/lib|' \
	    -e 's|@VERSION@|$(VERSION)|' $< > $@

$(B)/gen/queries.h: flags := --header

$(B)/gen/queries.c $(B)/gen/queries.h: libcore/queries.pl \
        libcore/model/bind.c \
        $(wildcard schema/queries/*.sql) $(B)/queries.list | packages
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)perl libcore/queries.pl $(flags) \
	    $(sort $(wildcard schema/queries/*.sql)) > $@

$(core_obj) $(san_obj): | $(B)/gen/queries.h

$(B)/obj/libcore/%.o: libcore/%.c | packages
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) $(PQ_CFLAGS) -fPIC -fvisibility=hidden \
	      -c -o $@ $<

$(B)/obj/gen/%.o: $(B)/gen/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<


# ---- tenonctl, tenond ----

tools: $(B)/bin/tenonctl $(B)/bin/tenond

# Their rpath is for the checkout; `make install` links one without.
$(B)/bin/tenonctl: $(ctl_obj) $(lib)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(ctl_obj) -L$(B)/lib -ltenon \
	      -Wl,-rpath,$(CURDIR)/$(B)/lib $(LIBS)

$(B)/bin/tenond: $(tenond_obj) $(lib)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(tenond_obj) -L$(B)/lib -ltenon \
	      -Wl,-rpath,$(CURDIR)/$(B)/lib $(LIBS) -lcurl

$(B)/obj/tenond/%.o: tenond/%.c | packages
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) -c -o $@ $<

$(B)/obj/tenonctl/%.o: tenonctl/%.c | packages
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) $(PQ_CFLAGS) \
	      -DTENON_SHARE='"$(PREFIX)/share/tenon"' -c -o $@ $<


# ---- the nginx module ----

module: $(module)

# nginx's own Makefile knows what depends on what; so it is always asked.
$(module): $(B)/ngx/Makefile $(lib) FORCE
	@+scripts/module.sh build $(B)/ngx

$(B)/ngx/Makefile: config scripts/module.sh $(B)/ngx.list | packages
	@TENON_LIBS="-L$(CURDIR)/$(B)/lib -ltenon -Wl,-rpath,$(CURDIR)/$(B)/lib" \
	    scripts/module.sh configure $(B)/ngx


# ---- test programs, sanitised ----

unit: $(unit_bin)

$(B)/san/libtenon.a: $(san_obj) $(B)/core.list
	$(call say,AR,$@)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $(san_obj)

# An archive: a test that includes the file it tests brings its symbols
# itself, and the archive's copy stays out.
$(B)/t/%: t/%.c $(B)/san/libtenon.a | packages-test
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PQ_CFLAGS) $(SAN) -It/lib -o $@ $< \
	      $(B)/san/libtenon.a -lcmocka $(LIBS) -lcurl

# Files of the module that are nginx's in shape alone, tested without it: they
# see its headers, and the test brings what they call.
$(B)/t/00unit/ngx_module/%: BASE += $(addprefix -isystem \
    /usr/share/nginx/src/src/,core event os/unix) -isystem $(B)/ngx
$(B)/t/00unit/ngx_module/%: | $(B)/ngx/Makefile

$(B)/san/libcore/%.o: libcore/%.c | packages
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PQ_CFLAGS) $(SAN) -c -o $@ $<

$(B)/san/gen/%.o: $(B)/gen/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(SAN) -c -o $@ $<


# ---- lists of files: rewritten only when a file came or went ----

$(B)/core.list: FORCE
	@scripts/list.sh $@ $(core_src)

$(B)/queries.list: FORCE
	@scripts/list.sh $@ $(wildcard schema/queries/*.sql)

$(B)/ngx.list: FORCE
	@scripts/list.sh $@ $(wildcard ngx_module/*.c ngx_module/*.h) \
	                    $(wildcard include/tenon/*.h)


# ---- run ----

run: all
	@scripts/run.sh

start: all
	@scripts/start.sh

stop:
	@scripts/stop.sh


# ---- test ----

test: packages-test all unit
	@$(MAKE) --no-print-directory lint
	@scripts/test.sh

# Alone on a machine: those with limits of time mean them.
chaos: packages-test all unit
	@TENON_LONG=1 scripts/test.sh $(wildcard t/60fault/*.t) \
	    t/20pg/cut.t t/20pg/faults.t t/20pg/payload.t t/20pg/statements.t \
	    $$(grep -rl TENON_LONG t/30http t/40app | sort) \
	    $$(grep -rl TENON_LONG t/00unit | sort | sed 's|^|build/|; s|\.c$$||')

# ROUNDS="SECONDS ROUNDS" shortens or lengthens it: make bench ROUNDS="2 3"
bench: packages-bench all
	@bench/run.pl --results bench/RESULTS.md $(ROUNDS)

# In instructions, against the commit before there were plans, and that with what
# was saved since (BEFORE="COMMIT COMMIT+", or built checkouts); they are built, too.
BEFORE ?= 8daecff 8daecff+
bench-cost: packages-bench all
	@bench/cost.pl $(BEFORE) > $(B)/cost.md
	@mv $(B)/cost.md bench/RESULTS-cost.md

# SAMPLES=500 for a quicker look.
timing: packages-test all
	@bench/timing.pl $(SAMPLES)

diagrams: $(B)/bin/diagrams
	@scripts/diagrams.sh

$(B)/bin/diagrams: scripts/diagrams.c $(core_obj)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) -o $@ $< $(core_obj) $(LIBS)

lint: packages-test lib $(B)/bin/diagrams
	@scripts/lint.sh

fmt: packages-test
	@find libcore ngx_module tenonctl tenond t -name '*.[ch]' \
	    -exec clang-format -i {} +


# ---- install, clean ----

install: all
	+@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" VERSION="$(VERSION)" \
	    CC="$(CC)" scripts/install.sh

clean:
	rm -rf $(B)

FORCE:

-include $(shell [ ! -d $(B) ] || find $(B)/obj $(B)/san $(B)/t \
                 -name '*.d' 2>/dev/null)
