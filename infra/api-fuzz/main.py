"""Starts a local stack, makes people and things on it, lets schemathesis call everything. `run` tells the rest."""

import argparse
import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parent
# The stack builds itself first when something changed.
PATIENCE_SECONDS = 900
PASSWORD = "correct horse battery staple"

# Operations that end what the others need: called last, by people of their own.
DESTROYING = ["log_out", "end_session", "delete_org", "delete_project", "revoke_api_key", "remove_member"]
# Operations of the platform's managers.
PLATFORM = ["list_platform_audit", "list_users", "deactivate_user", "end_user_sessions", "reactivate_user", "set_user_role"]


def main():
    """Does all of it; the exit code says whether every reply was as described."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local", type=pathlib.Path, required=True, help="the program behind `cargo local`")
    parser.add_argument("--port", type=int, default=3100)
    parser.add_argument("--examples", type=int, default=10, help="random requests for each operation and round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[round.__name__ for round in ROUNDS], help="one of the rounds")
    options = parser.parse_args()
    # Ending by SIGTERM shall end the stack too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="api-fuzz-") as folder:
        log = pathlib.Path(folder, "stack.log")
        with log.open("w") as file:
            up = [options.local, "up", "--port", str(options.port), "--data", pathlib.Path(folder, "data")]
            stack = subprocess.Popen(up, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        try:
            api = Api(f"http://127.0.0.1:{options.port}")
            api.wait(stack, log)
            rounds = [round for round in ROUNDS if options.only in (None, round.__name__)]
            failed = [round.__name__ for round in rounds if not call(api, options, folder, round)]
        finally:
            stack.terminate()
            stack.wait()
        lines = log.read_text(errors="replace").splitlines()
        statuses = collections.Counter(re.findall(r'"http.response.status_code":(\d+)', "\n".join(lines)))
        print("replies by status:", ", ".join(f"{many} × {status}" for status, many in sorted(statuses.items())))
        errors = [line for line in lines if '"level":"ERROR"' in line]
        if failed or errors:
            print("\n".join(errors[-20:]))
            sys.exit(f"failed: {', '.join(failed) or 'functions logged errors'}")


def inside(api):
    """A member and an API key, on everything that does not end them."""
    return {**variables(api), "ARGUMENTS": exclude(DESTROYING + PLATFORM)}


def destroying(api):
    """A member, on what ends sessions, keys, projects, organizations."""
    return {**variables(api), "ARGUMENTS": include(DESTROYING)}


def platform(api):
    """A manager of the platform."""
    manager = api.call("GET", "/_local/manager")
    login = {"email": manager["email"], "password": manager["password"]}
    token = api.call("POST", "/v1/auth/login", login)["accessToken"]
    return {**variables(api), "ACCESS_TOKEN": token, "ARGUMENTS": include(PLATFORM)}


def outside(api):
    """Nobody, on everything."""
    return {"ARGUMENTS": []}


ROUNDS = [inside, destroying, platform, outside]


def call(api, options, folder, round):
    """Lets schemathesis call; tells whether every check passed."""
    print(f"== {round.__name__}: {round.__doc__}", flush=True)
    chosen = round(api)
    arguments = chosen.pop("ARGUMENTS")
    config = FOLDER / ("outside.toml" if round is outside else "schemathesis.toml")
    command = [
        pathlib.Path(sys.executable).with_name("schemathesis"), "--config-file", config,
        "run", f"{api.url}/docs/json", "--seed", str(options.seed), "--max-examples", str(options.examples),
        "--phases", "examples,coverage,fuzzing", "--checks", "all", "--continue-on-failure",
        "--warnings", "off", "--no-color", *arguments,
    ]
    environment = {**os.environ, **chosen, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(FOLDER)}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode == 0


def include(operations):
    """Arguments that choose these operations."""
    return [text for name in operations for text in ("--include-operation-id", name)]


def exclude(operations):
    """Arguments that leave these operations out."""
    return [text for name in operations for text in ("--exclude-operation-id", name)]


def variables(api):
    """Registers a person with an organization, a project and a key; yields their variables."""
    email = f"fuzz-{time.time_ns()}@example.com"
    token = api.call("POST", "/v1/auth/register", {"email": email, "password": PASSWORD, "name": "Fuzz"})["accessToken"]
    me = {"authorization": f"Bearer {token}"}
    org = api.call("POST", "/v1/orgs", {"name": "Fuzz"}, me)["id"]
    me["x-org-id"] = org
    project = api.call("POST", "/v1/projects", {"name": "Fuzz", "environment": "prod"}, me)["id"]
    # One key calls; the other is changed and rotated.
    path = f"/v1/projects/{project}/api-keys"
    secret, other = (api.call("POST", path, {"label": label}, me) for label in ("calls", "is called upon"))
    return {"ACCESS_TOKEN": token, "ORG": org, "PROJECT": project, "API_KEY": secret["key"], "KEY": other["id"]}


class Api:
    """The stack's API."""

    def __init__(self, url):
        self.url = url

    def call(self, method, path, body=None, headers=None):
        """Calls; yields the body."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())

    def wait(self, stack, log):
        """Waits until the stack is up."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if stack.poll() is not None:
                sys.exit(f"the stack did not start:\n{log.read_text(errors='replace')}")
            try:
                self.call("GET", "/ready")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        sys.exit("the stack is not ready")


if __name__ == "__main__":
    main()
