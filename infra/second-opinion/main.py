"""Starts ministack, deploys our template to it, runs the main job, takes everything down. `run` tells the rest."""

import argparse
import functools
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

import golden_path
import template

FOLDER = pathlib.Path(__file__).resolve().parents[2]
STACK = "countinghouse"
REGION = "us-east-1"
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# A bound for each wait; far more than any of them takes.
PATIENCE_SECONDS = 120


def main():
    """Does all of it; the exit code says whether everything was as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder with the functions' binaries")
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    options = parser.parse_args()
    started = time.monotonic()
    # Ending by SIGTERM shall clean up too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="second-opinion-") as folder:
        log = pathlib.Path(folder, "ministack.log")
        server = start(options.port, folder, log)
        try:
            wait_for(server, options.port)
            api = deploy(options.programs, options.port)
            say(started, f"deployed {STACK} to ministack: API {api.id}")
            golden_path.run(api, lambda text: say(started, text))
            refused = [line for line in output(options.port) if "AccessDenied" in line or "not authorized" in line]
            assert not refused, "IAM refused calls of functions:\n" + "\n".join(refused)
            say(started, "passed")
            if options.keep:
                print(f"curl -H 'host: {api.host}' {api.url}/health   (Ctrl-C ends it)")
                signal.pause()
        except KeyboardInterrupt:
            pass
        except BaseException:
            said = [*log.read_text(errors="replace").splitlines()[-40:], *output(options.port)[-40:]]
            print("\n".join(said), file=sys.stderr)
            raise
        finally:
            stop(server)


def start(port, folder, log):
    """Starts ministack, in a process group of its own so that the functions' processes end with it."""
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "TMPDIR": folder,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        # Checks every call against the caller's policies.
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # Functions inherit these, as they find them in `cargo local`.
        "AWS_ENDPOINT_URL": endpoint,
        **{f"AWS_ENDPOINT_URL_{service}": endpoint for service in ("DYNAMODB", "SQS", "SESV2", "SSM")},
        **ROOT,
    }
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )


def stop(server):
    """Ends ministack and every process it started."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait()


def wait_for(server, port):
    """Waits until ministack answers."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError(f"ministack ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError("ministack does not answer")


def client(service, port):
    """AWS's own client, talking to ministack as the account's owner."""
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}", region_name=REGION,
        aws_access_key_id=ROOT["AWS_ACCESS_KEY_ID"], aws_secret_access_key=ROOT["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 1}),
    )


def deploy(programs, port):
    """Deploys the stack as `sam deploy` would: secrets, packages, the stack. Yields where its API is."""
    private, public = keys(programs)
    manager_password = secrets.token_urlsafe(24)
    ring = f"1:{secrets.token_hex(32)}"
    made = {"jwt-private-key": private, "bootstrap-manager-password": manager_password}
    made |= dict.fromkeys(["request-keys", "sealing-keys", "push-keys"], ring)
    for name, value in made.items():
        client("ssm", port).put_parameter(Name=f"/countinghouse/{name}", Value=value, Type="SecureString")
    body, parameters, binaries = template.load(FOLDER)
    client("s3", port).create_bucket(Bucket=template.BUCKET)
    for binary in binaries:
        code = template.package(programs / binary)
        client("s3", port).put_object(Bucket=template.BUCKET, Key=f"{binary}.zip", Body=code)
    client("sesv2", port).create_email_identity(EmailIdentity=parameters["MailFrom"])
    # By way of S3, as SAM does: CreateStack itself takes 51,200 bytes at most.
    client("s3", port).put_object(Bucket=template.BUCKET, Key="template.json", Body=body)
    parameters["JwtPublicKeys"] = public
    client("cloudformation", port).create_stack(
        StackName=STACK,
        TemplateURL=f"https://s3.{REGION}.amazonaws.com/{template.BUCKET}/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    created(client("cloudformation", port))
    found = client("cloudformation", port).describe_stack_resource(StackName=STACK, LogicalResourceId="Api")
    api = found["StackResourceDetail"]["PhysicalResourceId"]
    return golden_path.Api(api, port, (parameters["BootstrapManagerEmail"], manager_password), functools.partial(client, port=port))


def created(cloudformation):
    """Waits until the stack is there; says why if it is not."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        status = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]
        if status == "CREATE_COMPLETE":
            return
        if not status.endswith("_IN_PROGRESS"):
            break
        time.sleep(0.2)
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    reasons = [f"{it['LogicalResourceId']}: {it['ResourceStatusReason']}" for it in events if "ResourceStatusReason" in it]
    raise RuntimeError(f"the stack is {status}:\n" + "\n".join(reasons))


def keys(programs):
    """Makes a key pair for access tokens, with the command that the README tells."""
    made = subprocess.run([programs / "local", "keys"], check=True, capture_output=True, text=True).stdout.splitlines()
    return made[1], made[4]


def output(port):
    """What the functions wrote, from CloudWatch's logs, in order."""
    logs, lines = client("logs", port), []
    for group in logs.describe_log_groups(logGroupNamePrefix=f"/{STACK}/")["logGroups"]:
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
            if event["message"].startswith("{"):
                lines.append((event["timestamp"], group["logGroupName"].rsplit("/")[-1], event["message"].rstrip()))
    return [f"{function}: {message}" for _, function, message in sorted(lines)]


def say(started, text):
    """Prints a line with the time since the start."""
    print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
