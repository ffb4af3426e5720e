"""Nothing of the protocol goes without a test, and docs/conformance.md says which."""

import re

import mezzo_server
import surface
import table


def test_every_route_rpc_and_feature_has_a_test():
    covered = table.coverage()
    assert [name for name in surface.ALL if name not in covered] == []


def test_markers_name_what_exists():
    assert sorted(set(table.coverage()) - set(surface.ALL)) == []


def test_the_page_is_up_to_date():
    assert table.PAGE.read_text() == table.page(), "run tests/conformance/table.py"


def test_the_lists_are_those_of_the_server():
    """The RPCs of the schema and the routes that the sources register, so that new ones can't go untested."""
    schema = (mezzo_server.ROOT / "schema" / "proto" / "grpc_service.proto").read_text()
    rpcs = {f"rpc {name}" for name in re.findall(r"^  rpc (\w+)\(", schema, re.MULTILINE)}
    assert rpcs == {name for name in surface.RPCS if "Health" not in name}

    sources = (mezzo_server.ROOT / "src/mezzo/api/v2http/internal/routes.cc").read_text()
    for folder in ("openai", "platform", "mlflow"):
        for file in sorted((mezzo_server.ROOT / "src/mezzo/api" / folder).glob("*_handler.cc")):
            sources += file.read_text()
    routes = re.findall(r'k(Get|Post|Put|Delete|Head|Patch), "(/(?:v[12]|api)/[^"]*|/v[12])"', sources)
    assert len(routes) >= 78
    patterns = {f"{method.upper()} {re.sub('[*#]+', '{}', path)}" for method, path in routes}
    assert patterns == {re.sub(r"\{\w\}", "{}", name) for name in surface.V2_ROUTES + surface.OTHER_ROUTES
                        if name != "GET /metrics"}
