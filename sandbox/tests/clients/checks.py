"""Named checks of a real client, one line each: `ok CHECK`, `FAILED CHECK` with the reason, `NOT OFFERED …`."""

import sys
import time
import traceback


class Checks:
    def __init__(self, client):
        self.client = client
        self.count = 0
        self.failed = 0

    def run(self, name, check, *arguments, **more):
        """Carries one check out; gives what it gave, `None` when it failed."""
        self.count += 1
        try:
            result = check(*arguments, **more)
        except BaseException as error:  # SystemExit is how the AWS CLI says no.
            self.failed += 1
            print(f"FAILED {self.client} {name}: {type(error).__name__}: {error}")
            traceback.print_exc(file=sys.stdout)
            return None
        print(f"ok {self.client} {name}", flush=True)
        return result

    def end(self):
        print(f"{self.client}: {self.count} checks, {self.failed} failed")
        sys.exit(1 if self.failed or not self.count else 0)


def until(what, condition, seconds=60):
    """Asks until `condition` holds; what it gave then."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.02)
