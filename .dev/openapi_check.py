#!/usr/bin/env python3
"""Validates OpenAPI documents as 3.1; each operation needs a summary, a description, described responses and an example.

usage: openapi_check.py FILE…      (wants the package openapi-spec-validator)
"""
import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")


def faults(document):
    if not str(document.get("openapi", "")).startswith("3.1."):
        yield f"openapi is {document.get('openapi')!r}; 3.1 is wanted"
    for error in OpenAPIV31SpecValidator(document).iter_errors():
        yield f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield from (f"{method.upper()} {path}: {fault}" for fault in operation_faults(item[method]))


def operation_faults(operation):
    for field in ("summary", "description"):
        if not operation.get(field):
            yield f"has no {field}"
    said = json.dumps(operation)
    if '"content"' in said and '"example' not in said:
        yield "has no example"
    for status, response in operation.get("responses", {}).items():
        if not response.get("description"):
            yield f"response {status} has no description"


def main():
    count = 0
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as file:
            found = list(faults(json.load(file)))
        count += len(found)
        for fault in found:
            print(f"{name}: {fault}")
        print(f"{name}: {'valid OpenAPI 3.1' if not found else f'{len(found)} faults'}")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
