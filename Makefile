# SPDX-License-Identifier: GPL-2.0-or-later
# A thin front of Meson: the targets that people type.  'make help' lists them.

BUILD   ?= build
JOBS    ?= $(shell nproc)
prefix  ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60

NINJA   = ninja -C $(BUILD) -j $(JOBS)
MESON_TEST = meson test -C $(BUILD) --no-rebuild --print-errorlogs

.PHONY: all help deps configure demo test fast check guests bench fuzz lint install clean

all: configure
	@$(NINJA)

help:
	@echo 'make           build $(BUILD)/verdin (asks for missing Debian packages, or installs them as root)'
	@echo 'make demo      boot an unmodified Debian kernel; a shell when on a terminal'
	@echo 'make test      everything: unit tests, then real guests'
	@echo 'make fast      unit tests only (also: make check)'
	@echo 'make guests    real guests only'
	@echo 'make bench     speed and size against QEMU TCG, into docs/performance.md'
	@echo 'make fuzz      each fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) under clang and sanitizers'
	@echo 'make lint      style and layer checks, a clang build'
	@echo 'make install   prefix=$(prefix) DESTDIR=$(DESTDIR)'
	@echo 'make clean     remove $(BUILD) but keep what was downloaded ($(BUILD)/guests)'

deps:
	@tools/install-deps build

configure: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix $(prefix) >$(BUILD).log 2>&1 \
	    || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

demo: all
	@tools/install-deps guests
	@tools/demo $(BUILD)

test: all
	@tools/install-deps guests test
	@$(MESON_TEST) --suite fast --num-processes $(JOBS)
	@$(MESON_TEST) --suite peers --num-processes 1
	@tools/guests-ready $(BUILD)
	@$(MESON_TEST) --suite guests --num-processes 1

fast check: all
	@tools/install-deps test
	@$(MESON_TEST) --suite fast --num-processes $(JOBS)

guests: all
	@tools/install-deps guests test
	@tools/guests-ready $(BUILD)
	@$(MESON_TEST) --suite guests --num-processes 1

bench: all
	@tools/install-deps guests test bench
	@tests/bench/run $(BUILD)
	@tests/bench/storage.py $(BUILD)
	@echo; echo "Disk library: speed against the bare io_uring loop, qemu-img and cp (1.0: as fast)"
	@tests/bench/disk.py $(BUILD)/src/disk/disk_bench $(BUILD)/src/bin/verdin-disk-tool

fuzz:
	@tools/install-deps build fuzz
	@tools/fuzz $(FUZZ_SECONDS)

lint: all
	@tools/install-deps lint
	@tools/lint

install: all
	@meson configure $(BUILD) -Dprefix=$(prefix)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet
	@echo 'installed below $(DESTDIR)$(prefix)'

clean:
	@if test -d $(BUILD); then find $(BUILD) -mindepth 1 -maxdepth 1 ! -name guests -exec rm -rf {} +; fi
	@rm -rf build-fuzz build-clang
