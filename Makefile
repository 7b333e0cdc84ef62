# `make help` lists the targets. Each installs the packages that it lacks on Debian and Ubuntu; PACKAGES=: keeps it from
# that. The flags of the build are in scripts/cargo.

PREFIX ?= /usr/local
PACKAGES ?= scripts/packages
CARGO ?= scripts/cargo
# Arguments for `cargo test`: make test TESTARGS='--test cli -- lifecycle'. For vm-test, those of its programs.
TESTARGS ?=
# Of the programs in benches/: make bench BENCH=pods
BENCH ?= run pods
# Of scripts/reliability: make reliability PARTS=soak
PARTS ?=
# Seconds of fuzzing for each target.
FUZZ ?= 10

.PHONY: build demo test fuzz integration vm-test reliability bench bench-programs performance completions install tarball deb package-test msrv clean lint help

build: ## the release binary, static: target/hilum
	@$(PACKAGES) build
	$(CARGO) build --release
# A copy, as `make install` makes one: the linker writes here and there, and what is written from end to end has larger pages in
# the page cache (large folios). A command starts 0.1 ms sooner.
	@install -m 755 "target/$$($(CARGO) -vV | sed -n 's/^host: //p')/release/hilum" target/hilum

demo: build ## run a container, then a pod of three, and show what they share
	@$(PACKAGES) demo
	scripts/demo

test: ## format, clippy and all tests
	@$(PACKAGES) build test integration
	scripts/lint
	scripts/test $(TESTARGS)

fuzz: ## random inputs for everything that reads what others write: FUZZ=10 seconds for each target
	@$(PACKAGES) build fuzz
	scripts/fuzz $(FUZZ)

integration: ## real clients alone: Docker, containerd, its CRI plugin, podman, buildah
	@$(PACKAGES) build integration
	scripts/test --test integration $(TESTARGS)

vm-test: build deb tarball ## the tests on systemd and cgroup v2 with all controllers, in an emulated machine
	@$(PACKAGES) test rootfs vm
	scripts/vm/test $(TESTARGS)

reliability: build ## the long form of the tests of attacks, crashes, races and limits, and of the fuzzing: docs/reliability.md
	@$(PACKAGES) test fuzz
	scripts/reliability $(PARTS)

bench: bench-programs ## time, memory and system calls beside crun, runc and the kernel's own price; many pods
	set -e; for bench in $(BENCH); do "benches/$$bench"; done

performance: bench-programs ## the same and a profile: docs/performance.md
	benches/profile
	benches/run --page

bench-programs: build
	@$(PACKAGES) build integration bench
	gcc -O2 -static -Wall -Wextra -o target/floor.linked benches/floor.c
	@install -m 755 target/floor.linked target/floor # as target/hilum
	gcc -O2 -static -Wall -Wextra -o target/pause benches/pause.c
	gcc -O2 -static -nostdlib -Wall -Wextra -o target/true benches/true.c

lint: ## format, clippy, and cargo deny, which it installs into target/tools if it can
	@$(PACKAGES) build deny
	scripts/lint --deny

completions: ## completions/, for bash, zsh and fish, from the command line as it is now
	@$(PACKAGES) build
	$(CARGO) test --quiet --test cli -- --ignored completions::are_written

install: ## PREFIX=/usr/local, DESTDIR=
	@[ -e target/hilum ] || { echo "nothing to install: run make first" >&2; exit 1; }
	install -D -m 755 target/hilum "$(DESTDIR)$(PREFIX)/bin/hilum"
	@for page in man/*.8; do \
		[ ! -e "$$page" ] || install -D -m 644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man8/$${page##*/}" || exit; \
	done
	install -D -m 644 completions/hilum.bash "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hilum"
	install -D -m 644 completions/_hilum "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hilum"
	install -D -m 644 completions/hilum.fish "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hilum.fish"

tarball: build ## what install installs, and the documents: target/hilum-VERSION-ARCH-linux.tar.gz
	scripts/tarball

deb: build ## the same for Debian and Ubuntu: target/hilum_VERSION_ARCH.deb
	@$(PACKAGES) package
	scripts/deb

package-test: tarball deb ## both, installed and used and removed in a clean Debian 13
	@$(PACKAGES) rootfs
	scripts/test-packages

msrv: ## the last commit with the Rust of Debian 13, the oldest that builds it: docs/walkthroughs/engineer.md, typed there
	@$(PACKAGES) build rootfs
	$(CARGO) test --test cli -- --ignored --nocapture walkthrough::an_hour_for_a_rust_engineer

clean: ## remove target/
	rm -rf target

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile
