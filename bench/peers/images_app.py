"""The peers of picture generation: FastAPI before a pipeline in Python, as good as a team makes it in an afternoon.

    MODEL=emoji/1 TEXT_MODEL=minilm/1 PIPELINE=onnx SLOTS=2 THREADS=1 uvicorn images_app:app

One process, one set of weights. SLOTS requests draw at once, each in a thread of its own with THREADS cores; others wait
in order. Answers have the shape of OpenAI's API."""

import asyncio
import base64
import concurrent.futures
import importlib
import io
import os
import pathlib
import time

import orjson
from fastapi import FastAPI, Request, Response
from PIL import Image

SLOTS = int(os.environ.get("SLOTS", "1"))
module = importlib.import_module("images_" + os.environ["PIPELINE"])
pipeline = module.Pipeline(pathlib.Path(os.environ["MODEL"]), pathlib.Path(os.environ["TEXT_MODEL"]),
                           int(os.environ.get("THREADS", "1")))
pool = concurrent.futures.ThreadPoolExecutor(SLOTS)
slots = asyncio.Semaphore(SLOTS)
app = FastAPI()


def draw(prompt: str, count: int, seed: int, steps: int, guidance: float) -> list[bytes]:
    """PNG files: the first picture with `seed`, each further one with the next."""
    files = []
    for pixels in pipeline.draw(prompt, [seed + i for i in range(count)], steps, guidance):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
    return files


@app.get("/health")
async def health():
    return Response()


@app.post("/v1/images/generations")
async def generate(request: Request):
    body = orjson.loads(await request.body())
    arguments = (body["prompt"], body.get("n", 1), body.get("seed", 0), body.get("steps", 20), body.get("guidance", 3.0))
    async with slots:
        files = await asyncio.get_running_loop().run_in_executor(pool, draw, *arguments)
    answer = {"created": int(time.time()), "data": [{"b64_json": base64.b64encode(file).decode()} for file in files]}
    return Response(orjson.dumps(answer), media_type="application/json")
