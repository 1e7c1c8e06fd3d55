"""What schemathesis cannot know of our API."""

import os

import schemathesis


# Which of main.py's variables holds the id that a parameter wants.
IDS = {"x-org-id": "ORG", "orgId": "ORG", "projectId": "PROJECT", "keyId": "KEY"}


@schemathesis.hook
def before_load_schema(context, schema):
    """Names ids that exist, where there are some. Leaves cursors out: for the description any text is one, and none but
    ours is taken."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            given = [it for it in operation.get("parameters", []) if it["name"] != "cursor"]
            for parameter in given:
                known = os.environ.get(IDS.get(parameter["name"], ""))
                if known:
                    parameter["schema"] = {"type": "string", "enum": [known]}
            operation["parameters"] = given


@schemathesis.hook
def map_body(context, body):
    """Writes whole numbers without a fraction: JSON takes both, a form's fields are texts."""
    if isinstance(body, dict):
        return {name: map_body(context, value) for name, value in body.items()}
    if isinstance(body, list):
        return [map_body(context, value) for value in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body
