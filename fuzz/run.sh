#!/bin/sh
# Runs libFuzzer on each target (or on those named) for so many seconds: fuzz/run.sh 60 xml policy
#
# Stable Rust is enough: coverage comes from LLVM's pass, and there is no unsafe code for a sanitizer to watch. What libFuzzer
# finds on its way stays in the build folder; a crash is left in fuzz/artifacts.
set -eu
seconds=${1:-60}
[ $# -gt 0 ] && shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- xml document plan trail policy check waivers sql names
target=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
    cargo build --locked --release --quiet --target "$host" --target-dir "$target"
mkdir -p artifacts
for name; do
    found=$target/found/$name
    mkdir -p "$found"
    echo "== $name, $seconds s" >&2
    # An input that takes longer than ten seconds, or more than a gigabyte, is a finding too.
    "$target/$host/release/$name" "$found" "corpus/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -max_len=65536 -print_final_stats=1 -verbosity=0 -artifact_prefix="artifacts/$name-"
done
