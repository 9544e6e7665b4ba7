"""Runs the state machines of deploy/step-functions in moto's interpreter, with the real binary against the sandbox.

    run.py --binary ATREST --templates DIR --dir DIR --plan PLAN.json CASE

Moto stands for Step Functions and SQS, the worker is the one that is shipped, atrest talks to the sandbox that the
environment names. Nothing leaves the loopback. Prints one JSON object: what the execution came to.

Moto is not AWS. It proves that the templates are understood, that the loop ends where it should, and the contract of the
ticks; not the engine's own promises. It takes answers of a task that has timed out, so that case is not tried here.
"""

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time

REGION, ACCOUNT = "eu-central-1", "123456789012"
LIMIT = 900


def mend_nested_executions():
    """Moto 5.2.5 hands the members of startExecution to boto3 as the definition has them, which knows them in lower case,
    and the answer back in lower case, where Step Functions has it in upper case."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sfn

    def turned(members, how):
        for name in list(members):
            members[how(name[0]) + name[1:]] = members.pop(name)

    def parameters(self, parameters, **_):
        if not isinstance(parameters.get("Input"), str):
            parameters["Input"] = json.dumps(parameters.get("Input") or {})
        turned(parameters, str.lower)

    def response(self, response, **_):
        turned(response, str.upper)

    service = state_task_service_sfn.StateTaskServiceSfn
    service._normalise_parameters = parameters
    service._normalise_response = response


def start_moto():
    from moto.core import config
    from moto.server import ThreadedMotoServer

    mend_nested_executions()
    config.default_user_config["stepfunctions"] = {"execute_state_machine": True}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Where the interpreter looks for the other services.
    os.environ["MOTO_PORT"] = str(port)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return server, f"http://{host}:{port}"


class Bench:
    def __init__(self, options):
        import boto3

        self.options = options
        self.server, self.endpoint = start_moto()
        # atrest inside of the worker keeps the endpoint that the environment has: the sandbox's.
        mine = {"endpoint_url": self.endpoint, "region_name": REGION, "aws_access_key_id": "any", "aws_secret_access_key": "any"}
        self.states = boto3.client("stepfunctions", **mine)
        self.queue = boto3.client("sqs", **mine)
        fifo = {"FifoQueue": "true"}
        self.ticks = self.queue.create_queue(QueueName="ticks.fifo", Attributes=fifo)["QueueUrl"]
        self.approvals = self.queue.create_queue(QueueName="approvals.fifo", Attributes=fifo)["QueueUrl"]
        self.workers = []
        self.kills = 0
        self.ends = threading.Event()

    def machine(self, name, values):
        with open(os.path.join(self.options.templates, f"{name}.asl.json"), encoding="utf-8") as file:
            definition = re.sub(r"\$\{(\w+)\}", lambda match: str(values[match[1]]), file.read())
        answer = self.states.create_state_machine(
            name=name, definition=definition, roleArn=f"arn:aws:iam::{ACCOUNT}:role/states"
        )
        return answer["stateMachineArn"]

    def machines(self, heartbeat=30, concurrency=2):
        migration = self.machine(
            "migration",
            {
                "QueueUrl": self.ticks,
                "ApprovalQueueUrl": self.approvals,
                "HeartbeatSeconds": heartbeat,
                "TickSeconds": 120,
                "RepeatSeconds": 0,
                "ApprovalSeconds": 120,
            },
        )
        fleet = self.machine("fleet", {"MigrationStateMachineArn": migration, "MaxConcurrency": concurrency})
        return migration, fleet

    def worker(self, number, beat=5, stop_before="cutover"):
        environment = dict(os.environ)
        environment.update(
            AWS_ENDPOINT_URL_SQS=self.endpoint,
            AWS_ENDPOINT_URL_SFN=self.endpoint,
            AWS_DEFAULT_REGION=REGION,
            ATREST_WORKER_POLL="1",
        )
        command = [
            sys.executable,
            os.path.join(self.options.templates, "worker.py"),
            "--queue", self.ticks,
            "--plan", self.options.plan,
            "--atrest", self.options.binary,
            "--stop-before", stop_before,
            "--beat", str(beat),
            "--",
            "--mysql", "off",
            "--poll-interval", "15ms",
            "--consistency-window", "60ms",
            "--intent-lifetime", "20s",
            "--state-dir", os.path.join(self.options.dir, f"machine-{number}"),
        ]
        log = open(os.path.join(self.options.dir, f"worker-{number}.txt"), "w", encoding="utf-8")
        # A group of its own: what it has started is ended with it.
        process = subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)
        self.workers.append(process)
        return process

    def approve(self):
        """Gives leave whenever it is asked for."""

        def loop():
            while not self.ends.is_set():
                answer = self.queue.receive_message(QueueUrl=self.approvals, WaitTimeSeconds=1)
                for message in answer.get("Messages", []):
                    self.queue.delete_message(QueueUrl=self.approvals, ReceiptHandle=message["ReceiptHandle"])
                    body = json.loads(message["Body"])
                    self.asked.append(body["approve"])
                    self.states.send_task_success(taskToken=body["token"], output=json.dumps(body["approve"]))

        self.asked = []
        threading.Thread(target=loop, daemon=True).start()

    def wait(self, execution, meanwhile=lambda: None):
        began = time.monotonic()
        while time.monotonic() - began < LIMIT:
            answer = self.states.describe_execution(executionArn=execution)
            if answer["status"] != "RUNNING":
                return answer
            meanwhile()
            time.sleep(0.1)
        raise SystemExit(f"the execution did not end: {self.last_states(execution)}")

    def events(self, execution):
        events, token = [], None
        while True:
            more = {"nextToken": token} if token else {}
            answer = self.states.get_execution_history(executionArn=execution, maxResults=1000, **more)
            events += answer["events"]
            token = answer.get("nextToken")
            if not token:
                return events

    def last_states(self, execution):
        return [json.dumps(event, default=str) for event in self.events(execution)[-5:]]

    def trail(self, execution):
        """The documents that the execution has kept, in order: of each task that succeeded."""
        lines = []
        for event in self.events(execution):
            details = event.get("taskSucceededEventDetails")
            if details and details.get("output", "").startswith("{"):
                lines += json.loads(details["output"]).get("journal", [])
        return lines

    def end(self):
        self.ends.set()
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, 15)
        for worker in self.workers:
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, 9)
                worker.wait(30)
        self.server.stop()


def sources(plan):
    with open(plan, encoding="utf-8") as file:
        return [migration["source"]["dbi_resource_id"] for migration in json.load(file)["migrations"]]


def one(bench):
    """One migration, with leave before its cutover."""
    migration, _ = bench.machines()
    bench.worker(0)
    bench.approve()
    source = sources(bench.options.plan)[0]
    began = time.monotonic()
    execution = bench.states.start_execution(
        stateMachineArn=migration, name=f"enc-{source}-1", input=json.dumps({"dbi_resource_id": source, "attempt": 1})
    )["executionArn"]
    answer = bench.wait(execution)
    events = bench.events(execution)
    return {
        "status": answer["status"],
        "output": json.loads(answer.get("output") or "null"),
        "asked": bench.asked,
        "events": len(events),
        "ticks": sum(1 for event in events if event["type"] == "TaskSucceeded"),
        "trail": bench.trail(execution),
        "seconds": round(time.monotonic() - began, 1),
        "largest": max(len(str((event.get("taskSucceededEventDetails") or {}).get("output", ""))) for event in events),
        "last": bench.last_states(execution),
    }


def killed(bench):
    """Workers are killed, the ticks that they run with them, one after the other; a new one on another machine goes on."""
    migration, _ = bench.machines(heartbeat=6)
    bench.worker(0, beat=1)
    bench.approve()
    source = sources(bench.options.plan)[0]
    execution = bench.states.start_execution(
        stateMachineArn=migration, name=f"enc-{source}-1", input=json.dumps({"dbi_resource_id": source, "attempt": 1})
    )["executionArn"]
    kills = [0]
    at = [time.monotonic()]

    def meanwhile():
        if kills[0] < 3 and time.monotonic() - at[0] > 3 + 0.7 * kills[0]:
            worker = bench.workers[-1]
            os.killpg(worker.pid, 9)
            worker.wait(30)
            kills[0] += 1
            bench.worker(kills[0], beat=1)
            at[0] = time.monotonic()

    answer = bench.wait(execution, meanwhile)
    events = bench.events(execution)
    names = [(event.get("stateEnteredEventDetails") or {}).get("name") for event in events]
    return {
        "status": answer["status"],
        "kills": kills[0],
        "repeated": names.count("Again"),
        "trail": bench.trail(execution),
        "last": bench.last_states(execution),
    }


def fleet(bench):
    """Two waves; the first has a migration that cannot be done: the second is not begun."""
    _, machine = bench.machines()
    bench.worker(0, stop_before="")
    bench.worker(1, stop_before="")
    with open(os.path.join(bench.options.dir, "waves.json"), encoding="utf-8") as file:
        waves = json.load(file)
    execution = bench.states.start_execution(stateMachineArn=machine, name="fleet-1", input=json.dumps(waves))["executionArn"]
    answer = bench.wait(execution)
    listed = bench.states.list_executions(stateMachineArn=machine.replace("fleet", "migration"))["executions"]
    return {
        "status": answer["status"],
        "error": answer.get("error"),
        "executions": {entry["name"]: entry["status"] for entry in listed},
        "last": bench.last_states(execution),
    }


def main():
    parser = argparse.ArgumentParser()
    for name in ("binary", "templates", "dir", "plan"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("case", choices=["one", "killed", "fleet"])
    options = parser.parse_args()
    bench = Bench(options)
    try:
        found = {"one": one, "killed": killed, "fleet": fleet}[options.case](bench)
    finally:
        bench.end()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
