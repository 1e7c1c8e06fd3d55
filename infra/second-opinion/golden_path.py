"""The main job, as a client does it, with what must come out."""

import gzip
import json
import pathlib
import time

import urllib3

# How long something accepted may take until it shows, on a slow machine.
PATIENCE_SECONDS = 60
COMPRESSED = 30
PASSWORD = "correct horse battery staple"


class Api:
    """The deployed API. Every call goes over HTTP, to the host name that AWS would give it."""

    def __init__(self, id, port, manager, client):
        self.id, self.manager, self.client = id, manager, client
        self.url, self.host = f"http://127.0.0.1:{port}", f"{id}.execute-api.localhost:{port}"
        self.pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60))

    def waiting(self):
        """How many messages were not handled yet, in all queues; in a dead-letter queue they stay."""
        names, count = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"], 0
        sqs = self.client("sqs")
        for queue in sqs.list_queues()["QueueUrls"]:
            found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
            count += sum(map(int, found.values()))
        return count

    def ask(self, method, path, body=None, headers=None):
        """Calls; yields the reply."""
        headers = {"host": self.host, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            headers.setdefault("content-type", "application/json")
            body = json.dumps(body).encode()
        return self.pool.request(method, self.url + path, body=body, headers=headers)

    def call(self, method, path, expected, body=None, headers=None):
        """Calls and checks the status; yields the body read as JSON (None when empty) and the headers."""
        reply = self.ask(method, path, body, headers)
        text = reply.data.decode()
        assert reply.status == expected, f"{method} {path}: {reply.status} instead of {expected}: {text}"
        kind = reply.headers.get("content-type", "")
        return (json.loads(text) if "json" in kind and text else None), reply.headers


def run(api, say):
    """Runs everything in order; an assertion that fails says what was otherwise."""
    check_edges(api)
    say("health, CORS, problem documents, docs")
    person = sign_up(api)
    say("registered, refreshed; a repeated registration is answered with the same reply")
    tenant = Tenant(api, person)
    rival = Tenant(api, sign_up(api, "rival@example.com"))
    say("organization, project, API key; another tenant sees none of them")
    check_isolation(tenant, rival)
    events = sample()
    send(tenant, events)
    send_compressed(tenant)
    say(f"sent {len(events)} events and {COMPRESSED} CloudEvents, all of them twice")
    check_numbers(tenant, events)
    say("numbers, search and pages are exact")
    check_limits(tenant)
    say("a key is limited to exactly what it may")
    check_poison(tenant)
    say("a message that cannot be read comes again alone; the others of its batch are done")
    check_audit(tenant)
    say("audit trail is chained; a revoked key is refused")
    check_schedules(api)
    say("what schedules start runs")
    check_platform(api, person)
    say("the first manager logs in and deactivates the person")


def check_edges(api):
    """What every API of ours answers, whoever calls."""
    api.call("GET", "/health", 200)
    api.call("GET", "/ready", 200)
    problem, headers = api.call("GET", "/nowhere", 404, headers={"x-request-id": "seen-by-the-client"})
    assert headers["content-type"] == "application/problem+json", headers
    assert problem["code"] == "not_found" and problem["requestId"] == "seen-by-the-client", problem
    described, _ = api.call("GET", "/docs/json", 200)
    assert described["openapi"].startswith("3.1"), described["openapi"]
    origin = "http://localhost:5173"
    ask = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-org-id"}
    _, headers = api.call("OPTIONS", "/v1/orgs", 204, headers=ask)
    assert headers["access-control-allow-origin"] == origin, headers
    assert "x-org-id" in headers["access-control-allow-headers"].lower(), headers
    _, headers = api.call("GET", "/health", 200, headers={"origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in headers, headers


def sign_up(api, email="ada@example.com"):
    """Registers a person; yields the headers they call with, their id and their tokens."""
    registration = {"email": email, "password": PASSWORD, "name": "Ada"}
    once = {"idempotency-key": f"register {email}"}
    first, _ = api.call("POST", "/v1/auth/register", 201, registration, once)
    again, headers = api.call("POST", "/v1/auth/register", 201, registration, once)
    assert again == first and headers["idempotent-replayed"] == "true", (again, headers)
    problem, _ = api.call("POST", "/v1/auth/register", 409, registration)
    assert problem["code"] == "email_taken", problem
    entered, _ = api.call("POST", "/v1/auth/refresh", 200, {"refreshToken": first["refreshToken"]})
    login = {"email": email.upper(), "password": PASSWORD}
    api.call("POST", "/v1/auth/login", 200, login)
    api.call("POST", "/v1/auth/login", 401, login | {"password": "wrong horse"})
    me = {"authorization": f"Bearer {entered['accessToken']}"}
    user, _ = api.call("GET", "/v1/auth/me", 200, headers=me)
    assert user["email"] == email, user
    return {"headers": me, "id": user["id"]}


class Tenant:
    """An organization with a project and an API key."""

    def __init__(self, api, person):
        self.api = api
        org, _ = api.call("POST", "/v1/orgs", 201, {"name": "Acme"}, person["headers"])
        self.org, self.headers = org["id"], {**person["headers"], "x-org-id": org["id"]}
        project = {"name": "Shop", "environment": "prod"}
        self.project = self.call("POST", "/v1/projects", 201, project)["id"]
        made = self.call("POST", f"/v1/projects/{self.project}/api-keys", 201, {"label": "server"})
        self.key, self.key_id = made["key"], made["id"]

    def call(self, method, path, expected, body=None, **headers):
        """Calls as the person, in the organization."""
        return self.api.call(method, path, expected, body, {**self.headers, **headers})[0]

    def ingest(self, expected, body, **headers):
        """Calls as the server that holds the key."""
        return self.api.call("POST", "/v1/ingest/events", expected, body, {"x-api-key": self.key, **headers})[0]

    def ask(self, path, more=""):
        """Asks about the project's events."""
        return self.call("GET", f"{path}?projectId={self.project}{more}", 200)


def check_isolation(tenant, rival):
    """Another tenant's things look absent."""
    for path in (f"/v1/projects/{tenant.project}", f"/v1/metrics/overview?projectId={tenant.project}"):
        problem = rival.call("GET", path, 404)
        assert problem["code"] == "not_found", problem
    tenant.api.call("GET", "/v1/projects", 404, headers={**rival.headers, "x-org-id": tenant.org})
    tenant.call("POST", "/v1/projects", 400, {"name": "x", "environment": "prod", "unknown": 1})
    tenant.call("POST", "/v1/projects", 422, {"name": "", "environment": "prod"})


def sample():
    """250 events: more than two batches, more pages than one, every fifth an error."""
    return [
        {
            "id": f"order-{number}",
            "type": "ERROR" if number % 5 == 0 else "REQUEST",
            "name": f"GET /page-{number % 7}",
            "userId": f"user-{number % 40}",
            "payload": {"amount": number, "text": "Überweisung"},
        }
        for number in range(250)
    ]


def send(tenant, events):
    """Sends all of it, then all of it again in other batches."""
    for size in (100, 60):
        for start in range(0, len(events), size):
            batch = events[start:start + size]
            broken = [{"type": "REQUEST", "name": ""}]
            taken = tenant.ingest(202, {"events": batch + broken})
            assert taken["accepted"] == len(batch) and taken["rejected"][0]["index"] == len(batch), taken
    problem, _ = tenant.api.call("POST", "/v1/ingest/events", 401, {"events": events[:1]}, {"x-api-key": "ch_live_x"})
    assert problem["code"] == "bad_api_key", problem


def send_compressed(tenant):
    """Sends CloudEvents twice, compressed. Their type is none that API Gateway passes on as text, so they travel in
    base64; what it does with compressed bytes of type application/json nobody has written down."""
    batch = [
        {"specversion": "1.0", "id": str(number), "source": "/shop", "type": "checkout", "data": {"number": number}}
        for number in range(COMPRESSED)
    ]
    packed = gzip.compress(json.dumps(batch).encode())
    headers = {"content-type": "application/cloudevents-batch+json", "content-encoding": "gzip"}
    for _ in range(2):
        taken = tenant.ingest(202, packed, **headers)
        assert taken["accepted"] == COMPRESSED and not taken["rejected"], taken


def check_numbers(tenant, events):
    """Waits until all of it is visible; then nothing is missing and nothing counted twice."""
    total = len(events) + COMPRESSED

    def visible():
        overview = tenant.ask("/v1/metrics/overview")
        return overview if overview["events"] >= total and tenant.api.waiting() == 0 else None

    overview = until("the events are visible", visible)
    errors = sum(event["type"] == "ERROR" for event in events)
    assert overview["events"] == total and overview["errors"] == errors, overview
    assert overview["byType"] == {"CUSTOM": COMPRESSED, "ERROR": errors, "REQUEST": len(events) - errors}, overview
    assert overview["uniqueUsers"] == 40, overview
    series = tenant.ask("/v1/metrics/events/timeseries", "&interval=1h")
    assert sum(point["count"] for point in series["points"]) == total, series
    top = tenant.ask("/v1/metrics/errors/top", "&limit=100")["errors"]
    assert sum(error["count"] for error in top) == errors, top
    found, cursor = [], ""
    while cursor is not None:
        page = tenant.ask("/v1/events", f"&limit=100{cursor and '&cursor=' + cursor}")
        found += page["data"]
        cursor = page["nextCursor"]
    ours = [event for event in found if event["type"] != "CUSTOM"]
    assert len(found) == total and sorted(it["clientId"] for it in ours) == sorted(it["id"] for it in events)
    one = tenant.call("GET", f"/v1/events/{ours[0]['id']}?projectId={tenant.project}", 200)
    assert one["payload"]["text"] == "Überweisung", one


def check_limits(tenant):
    """A key of 3 calls a minute: the fourth call of a minute is refused, and says when to come again."""
    path = f"/v1/projects/{tenant.project}/api-keys"
    key = tenant.call("POST", path, 201, {"label": "slow", "rateLimitPerMinute": 3})
    event, statuses = {"type": "CUSTOM", "name": "slow"}, []
    # A minute may end in between, so up to 6 may pass.
    for _ in range(8):
        reply = tenant.api.ask("POST", "/v1/ingest/event", event, {"x-api-key": key["key"]})
        assert "ratelimit" in reply.headers and "ratelimit-policy" in reply.headers, reply.headers
        assert reply.status == 202 or int(reply.headers["retry-after"]) <= 60, reply.headers
        statuses.append(reply.status)
    assert 3 <= statuses.count(202) <= 6 and set(statuses) == {202, 429}, statuses


def check_poison(tenant):
    """A batch with a message that no consumer can read: the good ones are handled, that one stays."""
    sqs = tenant.api.client("sqs")
    queue = next(url for url in sqs.list_queues()["QueueUrls"] if "EventQueue" in url)
    sqs.send_message(QueueUrl=queue, MessageBody="not one of ours")
    before = tenant.ask("/v1/metrics/overview")["events"]
    tenant.ingest(202, {"events": [{"type": "CUSTOM", "name": "after the poison"}]})
    until("the good message is handled", lambda: tenant.ask("/v1/metrics/overview")["events"] > before or None)
    until("the bad one waits", lambda: tenant.api.waiting() == 1 or None)


def check_audit(tenant):
    """Each entry names the one before it; what was done is in it."""
    key = f"/v1/projects/{tenant.project}/api-keys/{tenant.key_id}"
    tenant.call("DELETE", key, 204)
    trail = tenant.call("GET", f"/v1/orgs/{tenant.org}/audit?limit=100", 200)["data"]
    actions = [entry["action"] for entry in trail]
    assert actions[0] == "api_key.revoked" and "project.created" in actions, actions
    for newer, older in zip(trail, trail[1:]):
        assert newer["prevHash"] == older["hash"], (newer, older)


def check_schedules(api):
    """Every schedule has a function, which takes the event that EventBridge sends."""
    events, functions = api.client("events"), api.client("lambda")
    # Other rules hear events.
    rules = [rule for rule in events.list_rules()["Rules"] if rule.get("ScheduleExpression")]
    assert rules, "the template has schedules, and ministack has no rule"
    for rule in rules:
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": [rule["Arn"]]}
            event |= {"version": "0", "id": "1", "account": "000000000000", "region": "us-east-1", "time": now()}
            reply = functions.invoke(FunctionName=target["Arn"], Payload=json.dumps(event))
            assert "FunctionError" not in reply, (target["Arn"], reply["Payload"].read())


def now():
    """The time as EventBridge writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def check_platform(api, person):
    """The manager of the template's parameters manages people."""
    email, password = api.manager
    entered, _ = api.call("POST", "/v1/auth/login", 200, {"email": email, "password": password})
    manager = {"authorization": f"Bearer {entered['accessToken']}"}
    people, _ = api.call("GET", "/v1/users", 200, headers=manager)
    assert any(user["id"] == person["id"] for user in people["data"]), people
    api.call("DELETE", f"/v1/users/{person['id']}", 204, headers=manager)
    api.call("GET", "/v1/auth/me", 401, headers=person["headers"])
    api.call("GET", "/v1/audit", 200, headers=manager)


def until(what, question):
    """Asks until there is an answer."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        answer = question()
        if answer is not None:
            return answer
        time.sleep(0.3)
    raise TimeoutError(f"{what}: not within {PATIENCE_SECONDS} s")
