#!/usr/bin/env python3
"""Verifies an audit export offline, by docs/audit-export.md alone: verify_audit.py FILE [HASH OF A NOTED HEAD]"""
import datetime, hashlib, json, sys

WIDEST, DEEPEST = 2**53 - 1, 64


def no_fraction(text):
    raise ValueError(f"{text} is no whole number")


def canonical(value, depth=0):
    """RFC 8785 for texts, whole numbers and structure: members sorted by UTF-16, no blanks."""
    if isinstance(value, (dict, list)) and depth == DEEPEST or type(value) is int and abs(value) > WIDEST:
        raise ValueError("deeper or wider than an entry")
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(one, depth + 1) for name, one in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(one, depth + 1) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def is_time(text):
    """As all times of the API are: in UTC, to the millisecond."""
    shown = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    return shown.isoformat(timespec="milliseconds") + "Z" == text


def conceal(entry):
    """Takes `disclosed` out of an entry, and puts digests where that says that values are personal."""
    if "disclosed" not in entry:
        return entry
    disclosed = entry.pop("disclosed")
    if not disclosed or not set(disclosed) <= {"newValue", "oldValue"}:
        raise ValueError("disclosed")
    for side, opened in disclosed.items():
        names, salt = opened.pop("names"), opened.pop("salt")
        if opened or not names or not isinstance(names, list) or not isinstance(salt, str):
            raise ValueError("disclosed")
        for name in names:
            value = canonical([salt, name, entry[side][name]])
            entry[side][name] = {"sha256": hashlib.sha256(value.encode()).hexdigest()}
    return entry


def verify(lines, noted):
    count, last, chain, ended, found = 0, "0" * 64, None, False, noted in (None, "0" * 64)
    for number, line in enumerate(lines, 1):
        try:
            if ended:
                return f"line {number}: something follows the head"
            entry = json.loads(line, parse_float=no_fraction, parse_constant=no_fraction)
            if canonical(entry) != line.decode():
                return f"line {number}: not canonical JSON"
            chain = chain or entry["chain"]
            if "count" in entry:
                if type(entry["count"]) is not int or not is_time(entry["at"]):
                    raise ValueError("head")
                if (entry["count"], entry["hash"], entry["chain"]) != (count, last, chain) or len(entry) != 4:
                    return f"line {number}: the head does not fit the entries before it"
                ended = True
                continue
            if type(entry["seq"]) is not int:
                raise ValueError("seq")
            named = conceal(entry).pop("hash")
            if (entry["chain"], entry["seq"], entry["prevHash"]) != (chain, count + 1, last):
                return f"line {number}: entry {count + 1} is missing or misplaced"
            if hashlib.sha256(canonical(entry).encode()).hexdigest() != named:
                return f"line {number}: entry {count + 1} was changed"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return f"line {number}: no entry and no head"
        count, last, found = count + 1, named, found or named == noted
    if not ended:
        return f"line {len(lines) + 1}: the head is missing"
    return None if found else f"line {len(lines)}: no entry has the hash that was noted"


with open(sys.argv[1], "rb") as file:
    lines = file.read().removesuffix(b"\n").split(b"\n")
flaw = verify(lines, sys.argv[2] if len(sys.argv) > 2 else None)
print(flaw or f"whole: {len(lines) - 1} entries")
sys.exit(1 if flaw else 0)
