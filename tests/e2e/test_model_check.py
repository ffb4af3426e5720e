"""`mezzo model check`: a version of a model tested by hand, in a process of its own, by the real binary."""

import json
import shutil
import subprocess

import pytest

import onnx_bytes
from mezzo_server import BAD_MODELS, BINARY, MODELS, SLOWNESS


def run(*args):
    return subprocess.run([BINARY, "model", "check", *map(str, args)], capture_output=True, text=True,
                          timeout=240 * SLOWNESS, check=False)


def check(*args):
    """(exit code, report) of a test with few timed runs."""
    done = run(*args, "--json", "--runs", "5")
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert (done.returncode == 0) == (report["verdict"] == "passed")
    return report


def checks_of(report):
    return {one["name"]: one for one in report["checks"]}


@pytest.fixture(name="version")
def version_folder(tmp_path):
    """Writes a version's folder: version("2", model=bytes, **{"golden/a.json": text})."""
    def write(name, model, **files):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(model)
        for path, content in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(content)
        return folder
    return write


def example(expected, **compare):
    return json.dumps({
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [[1, 2, 3, 4]]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": expected}],
        **({"compare": compare} if compare else {})})


@pytest.mark.parametrize("model", ["add_sub", "simple", "simple_string", "external_data", "mlp", "classifier", "nonzero"])
def test_good_models_pass(model):
    report = check(MODELS / model / "1")

    assert report["verdict"] == "passed", report
    assert report["confined"] is True  # Any kernel since 5.13.
    assert report["peak_memory_bytes"] > 1 << 20
    assert report["parts"][0]["inputs"]


@pytest.mark.parametrize("model, reason", [
    ("broken", "files: not an ONNX model"),
    ("empty_file", "files: the model file is empty"),
    ("external_escape", "has '..'; it must lie below the model's own folder"),
    ("external_missing", "files: the external data file 'nowhere.bin'"),
    ("missing_op", "load: "),
    ("type_mismatch", "load: "),
    ("config_wrong_shape", "load: "),
    ("config_syntax", "files: config.pbtxt"),
    ("unsupported_sequence", "files: config.pbtxt"),
    ("unsupported_backend", "files: "),
])
def test_bad_models_are_refused_with_the_reason(model, reason):
    report = check(BAD_MODELS / model / "1")

    assert report["verdict"] == "failed"
    assert reason in report["reason"]


def test_golden_examples_decide(version):
    good = version("good", onnx_bytes.times(2), **{"golden/double.json": example([2, 4, 6, 8])})
    bad = version("bad", onnx_bytes.times(2.5), **{
        "golden/double.json": example([2, 4, 6, 8]),
        "golden/direction.json": example([2, 4, 6, 8], rule="cosine", at_least=0.999)})

    assert checks_of(check(good))["golden/double"]["outcome"] == "passed"
    report = check(bad)
    assert report["reason"].startswith("golden/double: output 'y' (tolerance): element [0,0] is 2.5, expected 2")
    assert checks_of(report)["golden/direction"]["outcome"] == "passed"


def test_the_signature_is_compared_with_the_version_before(version):
    before = version("1", onnx_bytes.times(2))
    renamed = version("2", onnx_bytes.times(2, out="z"))
    narrow = version("3", onnx_bytes.times(2, width=3))
    same = version("4", onnx_bytes.times(3))

    assert "output 'y' (FP32[-1,4]) is gone" in check(renamed, "--against", before)["reason"]
    assert "had the shape [-1,4] and has [-1,3]: dimension 1" in check(narrow, "--against", before)["reason"]
    report = check(same, "--against", before, "--latency-factor", "0")
    assert report["verdict"] == "passed", report
    assert "p50_before_ms" in checks_of(report)["latency"]["measured"]


def test_a_model_without_end_and_one_without_measure_are_ended(version):
    endless = check(version("endless", onnx_bytes.endless()), "--cpu-seconds", "3")
    greedy = check(version("greedy", onnx_bytes.greedy()), "--memory", "512MiB")
    patient = check(version("patient", onnx_bytes.endless()), "--seconds", "6")

    assert endless["reason"] == "warmup: took more than 3 s of CPU time while warming up"
    assert greedy["reason"] == "warmup: needed more than the 512 MiB of memory that a test may take while warming up"
    assert patient["reason"] == "warmup: not done after 6 s: ended while warming up"


def test_operators_of_unknown_domains_are_named(version):
    node = onnx_bytes.node("Magic", ["x"], ["y"], domain="com.acme")
    ports = [onnx_bytes.value("x", onnx_bytes.FLOAT, [4])], [onnx_bytes.value("y", onnx_bytes.FLOAT, [4])]
    report = check(version("custom", onnx_bytes.model([node], *ports, domains=["com.acme"])))

    assert report["reason"].startswith("operators: operator 'Magic' is of the domain 'com.acme'")


def test_links_and_code_are_refused(version, tmp_path):
    linked = version("linked", onnx_bytes.times(2))
    (linked / "labels.txt").symlink_to("/etc/passwd")
    code = tmp_path / "code"
    code.mkdir()
    (code / "model.py").write_text("raise SystemExit")

    assert check(linked)["reason"] == "files: 'labels.txt' is a symbolic link"
    assert "only ONNX models" in check(code)["reason"]


def test_a_pipeline_is_tested_part_by_part(version, tmp_path):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "model_index.json").write_text("{}")
    shutil.move(version("unet", onnx_bytes.times(2)), pipeline / "unet")
    shutil.move(version("vae", onnx_bytes.times(3)), pipeline / "vae")
    (pipeline / "golden").mkdir()
    golden = json.loads(example([3, 6, 9, 12])) | {"part": "vae"}
    (pipeline / "golden" / "picture.json").write_text(json.dumps(golden))

    report = check(pipeline)

    assert report["verdict"] == "passed", report
    assert [part["name"] for part in report["parts"]] == ["unet", "vae"]
    assert checks_of(report)["golden/picture"]["outcome"] == "passed"


def test_people_get_a_table_and_exit_codes(version, tmp_path):
    good = run(version("good", onnx_bytes.times(2)), "--runs", "3")
    bad = run(BAD_MODELS / "missing_op" / "1", "--runs", "3")
    missing = run(tmp_path / "nowhere")

    assert good.returncode == 0 and good.stdout.endswith("\npassed\n"), good
    assert "CHECK" in good.stdout and "p99_ms" in good.stdout
    assert bad.returncode == 1 and "not passed: load: " in bad.stdout
    assert missing.returncode == 2 and "is no folder" in missing.stderr
