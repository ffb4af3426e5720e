"""Raw HTTP exchanges, byte for byte but for the date and generated ids: error bodies are a contract, too.

The files are golden/*.http: the request, a line of dashes, the answer. UPDATE_GOLDEN=1 writes the answers.
"""

import os
import pathlib
import re
import socket

import mezzo_server
import pytest

FOLDER = mezzo_server.ROOT / "tests" / "conformance" / "golden"
BAR = b"\n----\n"


def exchange(server, request):
    """What the server answers to the bytes of `request`, until it closes."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20 * mezzo_server.SLOWNESS) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def settled(answer):
    """The answer without what differs between runs."""
    answer = re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: (date)", answer)
    return re.sub(rb"\r\nX-Request-Id: (?!golden)[^\r]*", b"\r\nX-Request-Id: (id)", answer)


def wire(text):
    """The request of a golden file: lines end with CR LF, Content-Length is filled in where it says `(length)`."""
    head, _, body = text.partition(b"\n\n")
    head = head.replace(b"(length)", str(len(body)).encode())
    return head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body


@pytest.mark.covers("error bodies and codes")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.http")), ids=lambda path: path.stem)
def test_exchange(server, path):
    request, _, expected = path.read_bytes().partition(BAR)
    answer = settled(exchange(server, wire(request))).replace(b"\r\n", b"\n")

    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(request + BAR + answer + b"\n")
    else:
        assert answer.decode() == expected.removesuffix(b"\n").decode()


def test_there_are_golden_files():
    assert len(list(pathlib.Path(FOLDER).glob("*.http"))) >= 25
