"""Counts what AWS's own SAM transform makes of `template.yaml`, and fails at 80 % of what AWS allows; for variables at 95 %.

Some limits cannot be raised, and a template that meets one has to be cut in two when there is no time for it. Prints a
line for each; a function or role stands for the one that is nearest to its limit.

    infra/second-opinion/budget.py

The numbers are AWS's: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html,
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html,
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html.
"""

import json
import pathlib
import sys

import template

FOLDER = pathlib.Path(__file__).resolve().parents[2]
ALLOWED = 0.8
# The names of dead-letter queues fill one function's variables: there is room for names of stacks up to 40 characters.
FULLER = {"bytes of a function's variables": 0.95}
# What CloudFormation puts in place of a reference, long as such names are: `stack-LogicalId-` and 13 characters.
NAME = "countinghouse-production-{}-ABCDEFGHIJKLM"
ARN = "arn:aws:service:ap-southeast-1:123456789012:resource/" + NAME
# A value of a parameter that has none in `samconfig.toml`; and the longest, two public keys.
VALUE, KEYS = "x" * 64, "x" * 280
WRITTEN, VALUES = template.read(FOLDER)


def main():
    """Prints every count; the exit code says whether all are far enough from their limits."""
    near = 0
    for name, count, limit, which in counts():
        share, allowed = count / limit, FULLER.get(name, ALLOWED)
        mark = "" if share < allowed else f"   at or above {allowed:.0%}"
        near += bool(mark)
        print(f"{name:42} {count:9,} of {limit:9,} {share:5.0%}  {which}{mark}")
    if near:
        print("The template is too near to what AWS allows: fold functions that share policy and load, or split it.")
    return 1 if near else 0


def counts():
    """Yields name, count, limit and whose count it is."""
    plain, _, _ = template.transformed(FOLDER)
    resources = plain["Resources"]
    yield "resources", len(resources), 500, ""
    yield "parameters", len(plain["Parameters"]), 200, ""
    yield "outputs", len(plain.get("Outputs", {})), 200, ""
    # `sam deploy` sends the template before its transform, written out without anchors; both must fit an upload by S3.
    written_out = json.dumps(WRITTEN, indent=1)
    yield "bytes of the template, written out", len(written_out.encode()), 1_000_000, ""
    yield "bytes after the transform", len(json.dumps(plain).encode()), 1_000_000, ""
    yield "bytes of its description", len(plain["Description"].encode()), 1_024, ""
    yield from most("routes of an API", 300, of(resources, "AWS::ApiGatewayV2::Api", routes))
    yield from most("bytes of a role's policies", 10_240, of(resources, "AWS::IAM::Role", policies))
    yield from most("bytes of a function's variables", 4_096, of(resources, "AWS::Lambda::Function", variables))
    yield from most("bytes of what may call a function", 20_480, callers(resources))
    yield from most("bytes of a table's own policy", 20_480, of(resources, "AWS::DynamoDB::Table", own_policy))


def of(resources, kind, count):
    """Counts something in each resource of a kind."""
    return {name: count(it.get("Properties", {})) for name, it in resources.items() if it["Type"] == kind}


def most(name, limit, found):
    """Yields the largest of what was counted."""
    if found:
        which = max(found, key=found.get)
        yield name, found[which], limit, which


def routes(api):
    """How many routes the OpenAPI document of an API has."""
    return sum(len(methods) for methods in api.get("Body", {}).get("paths", {}).values())


def policies(role):
    """The bytes of a role's inline policies as IAM counts them: together, without blanks."""
    return sum(size(policy["PolicyDocument"]) for policy in role.get("Policies", []))


def variables(function):
    """The bytes of a function's environment, names and values."""
    found = function.get("Environment", {}).get("Variables", {})
    return sum(len(name) + len(str(filled(value))) for name, value in found.items())


def callers(resources):
    """The bytes of each function's own policy: a statement for each route, queue or schedule that calls it."""
    sizes = {}
    for resource in resources.values():
        if resource["Type"] == "AWS::Lambda::Permission":
            properties = resource["Properties"]
            function = properties["FunctionName"]["Ref"]
            # Sid, Effect, Principal, Action, Resource and a condition on the caller's ARN.
            sizes[function] = sizes.get(function, 0) + size(properties) + 260
    return sizes


def own_policy(table):
    """The bytes of a table's resource policy."""
    return size(table["ResourcePolicy"]["PolicyDocument"]) if "ResourcePolicy" in table else 0


def size(document):
    """The bytes of a document with its references filled in, without blanks."""
    return len(json.dumps(filled(document), separators=(",", ":")).encode())


def filled(value):
    """Puts something as long as the real thing in place of each reference."""
    if isinstance(value, list):
        return [filled(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        return {name: filled(one) for name, one in value.items()}
    (name, argument), = value.items()
    if name == "Ref":
        return reference(argument)
    if name == "Fn::GetAtt":
        return ARN.format(argument[0] if isinstance(argument, list) else argument.split(".")[0])
    if name == "Fn::Sub":
        text, own = (argument, {}) if isinstance(argument, str) else argument
        for part in set(part.split("}")[0] for part in text.split("${")[1:]):
            attribute = ARN.format(part.split(".")[0]) if "." in part else reference(part)
            text = text.replace("${" + part + "}", str(filled(own[part])) if part in own else attribute)
        return text
    if name == "Fn::Join":
        return argument[0].join(str(filled(one)) for one in argument[1])
    if name in ("Fn::Select", "Fn::Split"):
        return VALUE
    return {name: filled(argument)}


def reference(name):
    """What `Ref` yields, about: a pseudo parameter, a parameter's value, a resource's name or a queue's URL."""
    pseudo = {"AWS::Region": "ap-southeast-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws"}
    known = {"JwtPublicKeys": KEYS, **pseudo, **VALUES}
    if name in known:
        return known[name]
    if name.endswith("Queue"):
        return "https://sqs.ap-southeast-1.amazonaws.com/123456789012/" + NAME.format(name)
    return VALUE if name in WRITTEN["Parameters"] else NAME.format(name)


if __name__ == "__main__":
    sys.exit(main())
