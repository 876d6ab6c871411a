"""The API as OpenAPI describes it: with the token it wants, and with the refusals that it has in place of FastAPI's."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

BEARER = "token"
_NOT_OURS = ("HTTPValidationError", "ValidationError")


def describe_itself(application: FastAPI) -> None:
    """Have an application describe itself so, at its `openapi_url`."""
    plain = application.openapi

    def openapi() -> dict[str, Any]:
        if application.openapi_schema is None:
            schema = plain()
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            components = schema.setdefault("components", {})
            for name in _NOT_OURS:
                components.get("schemas", {}).pop(name, None)
            components["securitySchemes"] = {BEARER: {"type": "http", "scheme": "bearer", "description": "Where the service has a token."}}
            schema["security"] = [{}, {BEARER: []}]
        return application.openapi_schema or {}

    application.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it
