#!/usr/bin/env python3
"""Size of the program, and what a start of it costs.

    deploy/measure.py [PROGRAM]        (target/release/atrest)

Of 50 starts of each command: the least and the median time by the clock, and the least time of the processor. What any
process costs is measured with `true`, and is in every number. The limits are what a person does not notice: 10 ms for
help, 30 ms for a verb that does something. They are of the processor's time, because the clock also tells what else the
machine does. Over a limit: exit 1.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STARTS = 50
COMMANDS = [
    (10, "--version"),
    (10, "--help"),
    (10, "fix --help"),
    (30, "status"),
    (30, "policy list"),
    (30, "sandbox scenarios"),
]


def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(command, folder):
    """Times of the clock and of the processor, in milliseconds."""
    clock, processor = [], []
    for _ in range(STARTS):
        before, used = time.perf_counter(), spent()
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        clock.append((time.perf_counter() - before) * 1000)
        processor.append((spent() - used) * 1000)
    return clock, processor


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/atrest").resolve()
    if not os.access(program, os.X_OK):
        sys.exit(f"there is no program {program}; deploy/release.sh builds it")
    print(f"{program.stat().st_size / 2**20:.1f} MiB")
    print(f"{'ms':24}{'least':>8}{'median':>8}{'processor':>11}{'limit':>7}")
    over = False
    with tempfile.TemporaryDirectory() as folder:
        for limit, words in [(None, "true"), *COMMANDS]:
            command = ["true"] if limit is None else [str(program), *words.split()]
            clock, processor = measure(command, folder)
            over |= limit is not None and min(processor) > limit
            print(
                f"{words:24}{min(clock):8.1f}{statistics.median(clock):8.1f}{min(processor):11.1f}"
                f"{'' if limit is None else limit:>7}"
            )
    sys.exit(over)


main()
