#!/usr/bin/env python3
"""Takes ticks from a queue, runs `atrest tick`, answers the execution.

    worker.py --queue URL --plan PLAN.json [--atrest PROGRAM] [--beat SECONDS] [--once] [-- ARGUMENTS OF atrest tick]

Runs wherever the DB instances can be reached: a Fargate task, an EC2 instance, a pod. Several may run beside each other.
Needs boto3. Ends on SIGTERM when the tick under way has ended.

A message is deleted before its tick begins. If this program dies then, nobody answers, the heartbeat runs out, and the
execution repeats the tick with `again`. The other way round the queue would deliver the tick a second time, and nobody
would say that it is one.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading

import boto3
from botocore.exceptions import ClientError

# Exit codes of `atrest tick` with which it has printed a document: docs/exit-codes.md.
WITH_DOCUMENT = (0, 42, 75)
# Wrong input: repeating it changes nothing.
REFUSED = (2, 22, 24)
# What Step Functions takes as a cause.
LONGEST_CAUSE = 32_768


def say(words):
    print(f"worker: {words}", file=sys.stderr, flush=True)


class Lost(Exception):
    """The execution waits for this tick no longer."""


def run(arguments, document, beat, alive):
    """Runs atrest to its end, and tells meanwhile that it lives."""
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    text = json.dumps(document) if document is not None else ""
    while True:
        try:
            out, err = process.communicate(text, timeout=beat)
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            # What was given is not given again.
            text = None
            try:
                alive()
            except Lost:
                process.kill()
                process.communicate()
                raise


def arguments_of(message, options):
    base = [options.atrest, "tick", options.plan]
    if "begin" in message:
        base += ["--begin", message["begin"]]
        if options.stop_before:
            base += ["--stop-before", options.stop_before]
    else:
        base += ["--state", "-"]
    return base + options.rest


def handle(message, options, states):
    token = message["token"]

    def alive():
        try:
            states.send_task_heartbeat(taskToken=token)
        except ClientError as error:
            raise Lost(error.response["Error"]["Code"]) from error

    try:
        # The execution may have given it up while it lay in the queue.
        alive()
        code, out, err = run(arguments_of(message, options), message.get("document"), options.beat, alive)
        if code in WITH_DOCUMENT and out:
            states.send_task_success(taskToken=token, output=out)
        else:
            error = "Refused" if code in REFUSED else "TickFailed"
            states.send_task_failure(taskToken=token, error=error, cause=err[-LONGEST_CAUSE:])
        say(f"a tick ended with {code}")
    except (Lost, ClientError) as why:
        # Whatever it did is looked for by the tick that repeats it.
        say(f"the execution has given a tick up: {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queue", required=True, help="URL of the queue")
    parser.add_argument("--plan", required=True, help="the plan file")
    parser.add_argument("--atrest", default="atrest", help="the program")
    parser.add_argument("--stop-before", default="cutover", help="ask for leave before this step; empty for none")
    parser.add_argument("--beat", type=float, default=20, help="seconds between two heartbeats")
    parser.add_argument("--once", action="store_true", help="end after one tick")
    own = sys.argv[1:]
    rest = []
    if "--" in own:
        at = own.index("--")
        own, rest = own[:at], own[at + 1 :]
    options = parser.parse_args(own)
    options.rest = rest
    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    queue, states = boto3.client("sqs"), boto3.client("stepfunctions")
    while not ends.is_set():
        answer = queue.receive_message(
            QueueUrl=options.queue, MaxNumberOfMessages=1, WaitTimeSeconds=int(os.environ.get("ATREST_WORKER_POLL", "10"))
        )
        for message in answer.get("Messages", []):
            queue.delete_message(QueueUrl=options.queue, ReceiptHandle=message["ReceiptHandle"])
            handle(json.loads(message["Body"]), options, states)
            if options.once:
                return


if __name__ == "__main__":
    main()
