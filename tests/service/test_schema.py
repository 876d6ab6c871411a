"""Whatever OpenAPI allows, and what it does not, is answered as it says: schemathesis asks, in this process."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from support.asked import make

from vidsearch.service.application import build_application, gated
from vidsearch.service.service import Service

FEW, MANY = 8, 400  # examples of each of about a dozen operations, in each of two modes
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    root = tmp_path_factory.mktemp("schema") / "index"
    make(root)
    service = Service(root)
    application = build_application(service)
    yield schemathesis.openapi.from_asgi("/v1/openapi.json", gated(application, service, token=None, hosts={"testserver"}))
    service._media.close()


def fuzz(schema, examples):
    """Ask every operation what it allows and what it does not, and return how many requests that were."""
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(mode))
            def ask(case):
                nonlocal asked
                asked += 1
                case.call_and_validate(checks=CHECKS)

            try:
                ask()
            except Unsatisfiable:  # nothing can be said wrong where nothing is said
                assert mode is GenerationMode.NEGATIVE
    return asked


def test_what_is_asked_at_random_is_answered_as_the_schema_says(schema):
    assert fuzz(schema, FEW) > 100


@pytest.mark.slow
def test_much_that_is_asked_at_random_is_answered_as_the_schema_says(schema):
    assert fuzz(schema, MANY) > 5000


def test_the_schema_shows_how_to_ask(schema):
    described = schema.raw_schema
    asked = {path for path, operations in described["paths"].items() if "post" in operations}
    assert asked == {"/v1/search", "/v1/batch", "/v1/similar", "/v1/facets", "/v1/count", "/v1/export"}
    for path in asked:
        name = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert described["components"]["schemas"][name]["examples"]
    assert "422" not in str(described["paths"]["/v1/search"]["post"]["responses"].keys())
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
