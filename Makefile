# make demo  the whole loop on a sandbox inside one process
# make test  everything that is tested
# On a new Debian machine with Rust and apt both install what is missing into a cache folder of the user.

CARGO ?= cargo
ENGINES := sandbox/install-engines.sh
CLIENTS := sandbox/install-clients.sh
MOTO := tests/step_functions/install.sh
BROWSER := reports/tests/browser/install.sh
RESTATE := restate/install-server.sh
CHECKS := deploy/checks
VALIDATORS := deploy/validators/install.sh

.PHONY: demo test engines lint deny check-deploy release sbom deb measure bench-accounts fuzz
demo: engines
	$(CARGO) run --locked --quiet -- demo

engines:
	@$(ENGINES) mariadb1011 || { s=$$?; [ $$s -eq 3 ] && echo "engines: control plane only" >&2; [ $$s -eq 3 ]; }

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# One seed for the generated cases: what passes today passes tomorrow. Another one looks further: make test SEED=7.
SEED ?= 20260101
test: export PROPTEST_RNG_SEED = $(SEED)

# Dependencies and deploy/ are checked before the tests; ATREST_CHECKERS=none does without, and says so.
# Step Functions is played by moto, in a virtual environment of its own; ATREST_MOTO=none does without.
# MySQL 5.7 comes as an npm package; boto3 and the AWS CLI, and what drives the browser, live in virtual environments.
# ATREST_BROWSER=none does without the browser where there can be none, ATREST_RESTATE=none without the Restate server; the
# tests then say what was not run.
test: lint
	@command -v npm >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends npm; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv; }
	@$(ENGINES) mariadb1011 mysql57
	@$(CLIENTS)
	@[ "$$ATREST_RESTATE" = none ] || $(RESTATE)
	@[ "$$ATREST_MOTO" = none ] || $(MOTO)
	@$(VALIDATORS)
	@[ "$$ATREST_BROWSER" = none ] || command -v chromium >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; }
	@$(BROWSER)
	@$(CHECKS)/install.sh
	@$(CHECKS)/check.sh
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	  then $(CARGO) nextest run --locked --workspace --no-fail-fast; \
	  else echo "cargo-nextest is not installed: running cargo test" >&2; $(CARGO) test --locked --workspace; fi

# What may be in the dependency tree, and why (docs/supply-chain.md).
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	  then $(CARGO) deny --locked --workspace check --deny unmatched-skip bans licenses sources; \
	  else $(CHECKS)/install.sh && $(CHECKS)/check.sh cargo-deny; fi

# The same, and everything in deploy/, with the real checkers.
check-deploy:
	@$(CHECKS)/install.sh
	@$(CHECKS)/check.sh

# What is shipped: the program, what it is built from, and the Debian package. The same sources give the same bytes.
release:
	@deploy/release.sh
sbom:
	@mkdir -p target && deploy/sbom.py > target/atrest.cdx.json && echo target/atrest.cdx.json
deb:
	@deploy/deb/build.sh

# Size of the program, and how long it takes to start.
measure:
	@deploy/measure.py

# Reads and compares the accounts of two servers, beside pt-show-grants and the mariadb client where these are installed
# (apt-get install --no-install-recommends percona-toolkit mariadb-client-core).
bench-accounts:
	@$(ENGINES) mariadb1011 mysql57
	$(CARGO) run --locked --quiet --release --example bench_accounts -- --engine mariadb $(ACCOUNTS)
	$(CARGO) run --locked --quiet --release --example bench_accounts -- --engine mysql $(ACCOUNTS)

# libFuzzer on what others may send, so many seconds each (fuzz/README.md).
FUZZ_SECONDS ?= 60
fuzz:
	@fuzz/run.sh $(FUZZ_SECONDS)
