"""Our template as ministack can deploy it. Everything that is changed is changed here, and nothing else is.

AWS's own SAM transform makes plain CloudFormation of `template.yaml`. Of that:

- `Code`: the function's own binary for this machine, started by a script of one line, instead of a package for arm64.
- `Api`: ministack reads no OpenAPI from `Body`. Each path of it becomes a route and an integration, and its CORS
  settings the property `CorsConfiguration`, whose names ministack wants to begin with a small letter.
- `sqs:SendMessage` also allows `sqs:SendMessageBatch`, as it does on AWS, where that is no action of its own;
  and `ses:SendEmail` and `ssm:GetParameters` are allowed for everything, for ministack asks for `*` whoever sends and
  whichever parameters are read.
- Conditions on `dynamodb:LeadingKeys` hold without any: ministack does not say which keys a request names, so it cannot
  tell a request without keys from others. Our own runner checks them.
- Alarms over several metrics go: ministack knows those of one alone.
- Policies that refuse whoever comes without TLS go: ministack speaks plain HTTP.
- `DeletionPolicy: Retain` and `DeletionProtectionEnabled` go, so that deleting the stack deletes everything.
"""

import io
import json
import os
import secrets
import tomllib
import zipfile

# The SAM transform asks for a region and finds none otherwise.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

BUCKET = "countinghouse-code"
OPENAPI_METHODS = {"x-amazon-apigateway-any-method": "ANY"}


class _NoPolicies:
    """The transform's loader of AWS's managed policies: it knows the usual ones by itself."""

    def load(self):
        return {}


def read(folder):
    """Reads our template as it is written; yields it and the values of parameters as `cargo local` sets them (secrets are
    made anew)."""
    template = yaml_parse((folder / "template.yaml").read_text(encoding="utf-8"))
    return template, _values(folder / "samconfig.toml", template["Parameters"])


def transformed(folder):
    """Yields our template as the plain CloudFormation that AWS's transform makes of it, the values of parameters and
    the functions' binaries."""
    template, values = read(folder)
    binaries = _name_packages(template["Resources"])
    return transform(template, _lists(template["Parameters"], values), _NoPolicies()), values, binaries


def load(folder):
    """Yields our template as plain CloudFormation that ministack deploys, and what main.py needs besides: the values of
    parameters, and the functions' binaries."""
    template, values, binaries = transformed(folder)
    resources = template["Resources"]
    for name in [name for name, it in resources.items() if _beyond_ministack(it)]:
        del resources[name]
    for resource in resources.values():
        resource.pop("DeletionPolicy", None)
        resource.pop("UpdateReplacePolicy", None)
        resource.get("Properties", {}).pop("DeletionProtectionEnabled", None)
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"].pop("Architectures")
        if resource["Type"] == "AWS::IAM::Role":
            _widen(resource["Properties"].get("Policies", []))
    for name, resource in list(resources.items()):
        if resource["Type"] == "AWS::ApiGatewayV2::Api" and "Body" in resource["Properties"]:
            resources.update(_routes(name, resource["Properties"]))
    return json.dumps(template), values, binaries


def _beyond_ministack(resource):
    policy = resource.get("Properties", {}).get("PolicyDocument", {})
    wants_tls = any("aws:SecureTransport" in it.get("Condition", {}).get("Bool", {}) for it in policy.get("Statement", []))
    return wants_tls or "Metrics" in resource.get("Properties", {})


def _widen(policies):
    for policy in policies:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if "sqs:SendMessage" in actions:
                statement["Action"] = [*actions, "sqs:SendMessageBatch"]
            if "ses:SendEmail" in actions or "ssm:GetParameters" in actions:
                statement["Resource"] = "*"
            if "dynamodb:LeadingKeys" in statement.get("Condition", {}).get("Null", {}):
                del statement["Condition"]["Null"]


def package(program):
    """Packs a program as Lambda wants it: a zip with `bootstrap` in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, f"#!/bin/sh\nexec '{program}'\n")
    return packed.getvalue()


def _values(config, parameters):
    """The values of samconfig's environment `local`; a secret for each parameter that is one."""
    with open(config, "rb") as file:
        overrides = tomllib.load(file)["local"]["deploy"]["parameters"]["parameter_overrides"]
    values = {name: secrets.token_urlsafe(48) for name, it in parameters.items() if it.get("NoEcho")}
    return values | dict(text.split("=", 1) for text in overrides)


def _lists(parameters, values):
    """The values of list parameters, as CloudFormation hands them to a transform; ours are the only ones it reads."""
    names = [name for name, it in parameters.items() if it["Type"] == "CommaDelimitedList"]
    return {name: [part.strip() for part in values.get(name, parameters[name].get("Default")).split(",")] for name in names}


def _name_packages(resources):
    binaries = []
    for resource in resources.values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = f"s3://{BUCKET}/{binary}.zip"
            binaries.append(binary)
    return binaries


def _routes(api, properties):
    """Takes the OpenAPI document out of an API; yields its routes as resources."""
    body = properties.pop("Body")
    properties["Name"], properties["ProtocolType"] = api, "HTTP"
    cors = body.get("x-amazon-apigateway-cors")
    if cors:
        properties["CorsConfiguration"] = cors
    resources = {}
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            if "x-amazon-apigateway-integration" not in operation:
                continue
            number = len(resources) // 2
            resources[f"{api}Integration{number}"] = _integration(api, operation["x-amazon-apigateway-integration"])
            method = OPENAPI_METHODS.get(method, method.upper())
            resources[f"{api}Route{number}"] = {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {
                    "ApiId": {"Ref": api},
                    "RouteKey": path if path == "$default" else f"{method} {path}",
                    "Target": {"Fn::Join": ["/", ["integrations", {"Ref": f"{api}Integration{number}"}]]},
                },
            }
    return resources


def _integration(api, given):
    return {
        "Type": "AWS::ApiGatewayV2::Integration",
        "Properties": {
            "ApiId": {"Ref": api},
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": given["uri"],
            "PayloadFormatVersion": given["payloadFormatVersion"],
        },
    }
