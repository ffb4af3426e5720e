"""OpenAI's embeddings through the official client, and what only a plain socket can say."""

import asyncio
import base64
import json
import math
import struct

import mezzo_server
import numpy as np
import openai
import pytest

covers = pytest.mark.covers
TOKENS = json.loads((mezzo_server.ROOT / "tests" / "models_src" / "minilm_tokens.json").read_text())


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.http_url + "/v1", api_key="any", max_retries=0) as made:
        yield made


def embed(client, inputs, **options):
    answer = client.embeddings.create(model="minilm", input=inputs, **options)
    return np.array([row.embedding for row in answer.data], dtype=np.float32), answer


def post(server, body, headers=None):
    """(status, headers by lower-case name, parsed body)"""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answered, content = server.request("POST", "/v1/embeddings", text,
                                               {"Content-Type": "application/json", **(headers or {})})
    return status, {name.lower(): value for name, value in answered.items()}, json.loads(content)


@covers("GET /v1/models")
def test_lists_every_model(client):
    models = {model.id: model for model in client.models.list()}

    assert {"minilm", "magika", "simple"} <= set(models)
    assert models["minilm"].object == "model"
    assert models["minilm"].owned_by == "mezzo"
    assert models["minilm"].created > 1_700_000_000


@covers("GET /v1/models/{m}")
def test_describes_one_model(client):
    assert client.models.retrieve("minilm").id == "minilm"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gpt-x")
    assert error.value.code == "model_not_found"


@covers("POST /v1/embeddings")
def test_similar_sentences_have_similar_vectors(client):
    vectors, answer = embed(client, ["How do I reset my password?",
                                     "I forgot my login credentials and need to recover the account.",
                                     "The stock market fell sharply on Monday."])

    assert answer.object == "list"
    assert answer.model == "minilm"
    assert [row.index for row in answer.data] == [0, 1, 2]
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


@covers("POST /v1/embeddings")
def test_texts_and_their_reference_tokens_give_the_same_vectors(client):
    """The ids are those of the reference tokenizer, so this shows the tokenizer behind the route, padding included."""
    texts, text_answer = embed(client, [row["text"] for row in TOKENS])
    tokens, token_answer = embed(client, [row["ids"] for row in TOKENS])

    assert np.abs(texts - tokens).max() < 1e-5
    expected = sum(len(row["ids"]) for row in TOKENS)
    assert text_answer.usage.prompt_tokens == text_answer.usage.total_tokens == expected
    assert token_answer.usage.total_tokens == expected


def test_the_vectors_are_those_of_v2(client, server):
    ids = TOKENS[0]["ids"]
    inputs = [{"name": name, "datatype": "INT64", "shape": [1, len(ids)], "data": values}
              for name, values in (("input_ids", ids), ("attention_mask", [1] * len(ids)),
                                   ("token_type_ids", [0] * len(ids)))]
    served = json.loads(server.get("/v2/models/minilm")[2])
    names = {tensor["name"] for tensor in served["inputs"]}
    body = {"inputs": [tensor for tensor in inputs if tensor["name"] in names],
            "outputs": [{"name": "sentence_embedding"}]}
    status, _, content = server.request("POST", "/v2/models/minilm/infer", json.dumps(body).encode())
    assert status == 200, content
    direct = np.array(json.loads(content)["outputs"][0]["data"], dtype=np.float32)

    vectors, _ = embed(client, TOKENS[0]["text"])

    assert np.abs(vectors[0] - direct).max() < 1e-5


def test_many_inputs_of_many_lengths_keep_their_order(client):
    inputs = [" ".join(["word"] * (1 + i * 13 % 60)) for i in range(120)]
    together, _ = embed(client, inputs)

    for index in (0, 7, 59, 119):
        alone, _ = embed(client, inputs[index])
        assert together[index] @ alone[0] > 0.9999


def test_formats_agree(server):
    body = {"model": "minilm", "input": "Plants make sugar from light."}
    _, _, floats = post(server, {**body, "encoding_format": "float"})
    _, _, packed = post(server, {**body, "encoding_format": "base64"})

    raw = base64.b64decode(packed["data"][0]["embedding"], validate=True)
    assert len(raw) == 384 * 4
    assert np.array_equal(np.frombuffer(raw, "<f4"), np.array(floats["data"][0]["embedding"], dtype=np.float32))
    assert set(floats) == {"object", "data", "model", "usage"}


def test_dimensions_cut_and_normalize(client):
    whole, _ = embed(client, "A sentence.")
    cut, _ = embed(client, "A sentence.", dimensions=64)

    assert cut.shape == (1, 64)
    expected = whole[0, :64] / np.linalg.norm(whole[0, :64])
    assert np.abs(cut[0] - expected).max() < 1e-6
    with pytest.raises(openai.BadRequestError) as error:
        embed(client, "A sentence.", dimensions=385)
    assert error.value.param == "dimensions"


def test_the_asynchronous_client(server):
    async def run():
        async with openai.AsyncOpenAI(base_url=server.http_url + "/v1", api_key="any", max_retries=0) as client:
            requests = [client.embeddings.create(model="minilm", input=f"sentence {i}") for i in range(32)]
            return await asyncio.gather(*requests)

    answers = asyncio.run(run())

    assert len(answers) == 32
    assert len({struct.pack("<f", answer.data[0].embedding[0]) for answer in answers}) > 16


@pytest.mark.parametrize(("inputs", "code"), [
    ("word " * 600, "context_length_exceeded"),
    ("", "embedding_input_empty"),
    ([], "embedding_input_empty"),
    (["a"] * 2049, "embedding_too_many_inputs"),
    ([30522], "embedding_token_unknown"),
], ids=["long", "empty_text", "empty_list", "too_many", "token"])
def test_inputs_out_of_bounds(client, inputs, code):
    with pytest.raises(openai.BadRequestError) as error:
        embed(client, inputs)
    assert error.value.code == code
    assert error.value.param == "input"
    assert error.value.type == "invalid_request_error"


def test_models_that_are_unknown_or_do_not_embed(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.embeddings.create(model="gpt-x", input="a")
    assert error.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="simple", input="a")
    assert error.value.code == "model_not_embedding"
    assert "input_ids" in error.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":"minilm","input":"a"} x', b'{"model":"minilm","input":"\xff"}'],
                         ids=["nothing", "cut", "array", "more", "utf8"])
def test_malformed_bodies(server, body):
    status, headers, answer = post(server, body)

    assert status == 400
    assert headers["x-mezzo-reason"] == "json_malformed"
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_a_deadline_that_can_not_be_met_is_refused(server):
    status, headers, answer = post(server, {"model": "minilm", "input": ["long " * 400] * 256},
                                   {"X-Mezzo-Deadline-Ms": "1"})

    assert status == 503
    assert headers["x-should-retry"] == "false"
    assert answer["error"]["type"] == "server_error"


def test_hostile_text_is_answered(client):
    vectors, _ = embed(client, ["\x01\x02", "\u0301" * 200, "x" * 5000, "[CLS] [SEP] [PAD]", "👍🏽" * 50, "ﷺ \u202e \ud7ff"])

    assert vectors.shape == (6, 384)
    assert all(math.isfinite(value) for value in vectors.flatten())


@pytest.fixture(scope="module")
def guarded():
    """A server that wants keys."""
    import hashlib

    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("good-key", "watch-key")}
    config = ("tenants:\n"
              f"  - {{id: acme, scopes: [infer], key_sha256: ['{digest['good-key']}']}}\n"
              f"  - {{id: watcher, scopes: [observe], key_sha256: ['{digest['watch-key']}']}}\n")
    with mezzo_server.Server(models=mezzo_server.EXAMPLES, config=config) as running:
        yield running


def test_keys(guarded):
    def with_key(key):
        return openai.OpenAI(base_url=guarded.http_url + "/v1", api_key=key, max_retries=0)

    vectors, _ = embed(with_key("good-key"), "a")
    assert vectors.shape == (1, 384)
    with pytest.raises(openai.AuthenticationError) as error:
        embed(with_key("bad-key"), "a")
    assert error.value.code == "invalid_api_key"
    assert with_key("watch-key").models.list().data
    with pytest.raises(openai.PermissionDeniedError):
        embed(with_key("watch-key"), "a")


def test_unknown_routes_and_methods(server):
    status, _, content = server.request("POST", "/v1/chat/completions", b"{}")
    assert status == 404
    assert json.loads(content)["error"]["code"] == "unknown_url"
    status, headers, _ = server.request("GET", "/v1/embeddings")
    assert status == 405
    assert headers["Allow"] == "POST"
