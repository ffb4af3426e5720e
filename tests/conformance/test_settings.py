"""Trace and log settings: they change what the server does, never a file."""

import pytest
from tritons import simple_inputs

covers = pytest.mark.covers


def _values(client, answer):
    """{name: [text]} of trace settings."""
    settings = answer["settings"] if client.is_grpc else answer
    values = {name: value.get("value", []) if client.is_grpc else value for name, value in settings.items()}
    return {name: value if isinstance(value, list) else [value] for name, value in values.items()}


def _logs(client, answer):
    if not client.is_grpc:
        return answer
    return {name: next(iter(value.values()), None) for name, value in answer["settings"].items()}


@covers("GET /v2/trace/setting", "POST /v2/trace/setting", "GET /v2/models/{m}/trace/setting",
        "POST /v2/models/{m}/trace/setting", "rpc TraceSetting")
def test_trace_settings_of_server_and_model(controller):
    def get(model=None):
        return _values(controller, controller.get_trace_settings(model))

    def update(model, **settings):
        return _values(controller, controller.update_trace_settings(model, settings))

    assert get()["trace_level"] == ["OFF"] and get()["trace_rate"] == ["1"] and get()["trace_file"] in ([""], [])
    try:
        assert update(None, trace_level=["TIMESTAMPS"], trace_rate="10")["trace_rate"] == ["10"]
        assert get()["trace_level"] == ["TIMESTAMPS"]
        assert get("simple")["trace_rate"] == ["10"]
        assert update("simple", trace_rate="3")["trace_rate"] == ["3"]
        assert get("versioned_all")["trace_rate"] == ["10"]
        assert update("simple", trace_rate=None)["trace_rate"] == ["10"]  # Back to the server's.
    finally:
        update(None, trace_level=None, trace_rate=None)
    assert get()["trace_level"] == ["OFF"] and get("simple")["trace_rate"] == ["1"]


@covers("error bodies and codes")
def test_trace_settings_that_make_no_sense(controller):
    update = controller.update_trace_settings
    refused = controller.refused

    assert "trace_rate" in refused("invalid", update, None, {"trace_rate": "often"})
    assert "unknown trace level 'LOUD'" in refused("invalid", update, None, {"trace_level": ["LOUD"]})
    assert "TENSORS" in refused("unimplemented", update, None, {"trace_level": ["TENSORS"]})
    assert "unknown setting 'colour'" in refused("invalid", update, None, {"colour": "red"})
    assert _values(controller, controller.get_trace_settings())["trace_level"] == ["OFF"]


@covers("error bodies and codes")
def test_no_file_is_ever_set(controller, tmp_path):
    path = tmp_path / "written"
    assert controller.refused("unimplemented", controller.update_trace_settings, None, {"trace_file": str(path)}) == \
        "trace file location can not be updated through network protocol"
    assert controller.refused("unimplemented", controller.update_log_settings, {"log_file": str(path)}) == \
        "log file location can not be updated through network protocol"
    inputs, _, _ = simple_inputs(controller)
    controller.infer("simple", inputs)
    assert not path.exists()


@covers("GET /v2/logging", "POST /v2/logging", "rpc LogSettings")
def test_log_settings(controller, control):
    before = _logs(controller, controller.get_log_settings())
    assert before["log_info"] is True and not before["log_file"]

    try:
        after = _logs(controller, controller.update_log_settings({"log_info": False, "log_verbose_level": 0}))
        assert after["log_info"] is False and after["log_warning"] is True
        lines = len(control.log)
        controller.load_model("classifier")
        assert [entry for entry in control.log[lines:] if entry["level"] == "info"] == []
    finally:
        controller.update_log_settings({"log_info": True})
    controller.unload_model("classifier")
    assert "unknown setting 'log_colour'" in \
        controller.refused("invalid", controller.update_log_settings, {"log_colour": True})
    assert "log_format" in controller.refused("invalid", controller.update_log_settings, {"log_format": "xml"})
