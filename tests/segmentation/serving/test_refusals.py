"""What the server refuses, and that it answers afterwards, whatever it was sent."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import pixel_bomb, text_bomb
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import png
from servers import Server, running

from segmentation.serving.requests import MAX_BODY

PHOTO = png(20, 30)
NAMED = b'--x\r\nContent-Disposition: form-data; name="a\xff"\r\n\r\nabc\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("query", "body", "said"),
    [
        ("", b"", "no image was sent"),
        ("", b"abc", "does not decode as an image"),
        ("", PHOTO[:-30], "does not decode as an image"),
        ("", pixel_bomb(), "does not decode as an image"),
        ("", text_bomb(), "does not decode as an image"),
        ("", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "does not decode as an image"),
        ("?model=vgg", PHOTO, "model 'vgg': there are "),
        ("?model=", PHOTO, "model '': there are "),
        ("?model=../checkpoints/unet", PHOTO, "there are "),
        ("?kind=matte", PHOTO, "kind: Input should be 'mask', 'cutout', 'overlay' or 'probability'"),
        ("?threshold=0", PHOTO, "(allowed: above 0 and below 1)"),
        ("?threshold=1", PHOTO, "(allowed: above 0 and below 1)"),
        ("?threshold=nan", PHOTO, "(allowed: above 0 and below 1)"),
        ("?threshold=half", PHOTO, "(allowed: above 0 and below 1)"),
        ("", b"\0\0\0\x18ftypheic" + bytes(50), "does not decode as an image"),
        ("?x=1", PHOTO, "'x' is not a known parameter (white, model, kind, threshold)"),
        ("?kind=mask&kind=cutout", PHOTO, "kind: is given more than once"),
        ("?white=0", PHOTO, "white: "),
        ("?white=1" + 5000 * "0", PHOTO, "white: "),
    ],
)
def test_bad_input_is_one_line(query: str, body: bytes, said: str, server: Server) -> None:
    answer = server.post(f"/predict{query}", body)
    detail = answer.json()["detail"]
    assert answer.status_code == 422 and said in detail and "\n" not in detail and len(detail) < 310
    assert "segmentation/" not in detail and "tmp/" not in detail  # no place on this machine


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("multipart/form-data", b"abc", "boundary"),
        ("multipart/form-data; boundary=x", b"abc", "form"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "no image was sent"),
        ("multipart/form-data; boundary=x; charset=no", b"--x\r\n\r\nabc\r\n--x--\r\n", "name"),
        ("multipart/form-data; boundary=x; charset=idna", NAMED, "no image was sent"),
        ("multipart/form-data; boundary=x; charset=undefined", NAMED, "no image was sent"),
        ("multipart/form-data; boundary=x; charset=punycode", NAMED, "no image was sent"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc\r\n--x--\r\n',
            "no image was sent",
        ),
    ],
)
def test_forms_without_an_image(kind: str, body: bytes, said: str, server: Server) -> None:
    answer = server.post("/predict", body, headers={"Content-Type": kind})
    assert answer.status_code == 422 and said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"treshold": "0.9"}, "'treshold' is not a known parameter (white, model, kind, threshold)"),
        ({"side": "9"}, "'side' is not a known parameter"),
        ({"threshold": "high"}, "threshold: "),
        ({"kind": "matte"}, "kind: Input should be 'mask', 'cutout', 'overlay' or 'probability'"),
        ({"model": "resnet"}, "model: is given more than once"),
    ],
)
def test_fields_of_a_form(fields: dict[str, str], said: str, server: Server) -> None:
    answer = server.post("/predict?model=unet", fields, files={"image": PHOTO})
    assert answer.status_code == 422 and said in answer.json()["detail"]


def test_a_file_that_is_sent_as_text(server: Server) -> None:
    """`curl -F image=photo.jpg` sends the name of the file."""
    answer = server.post("/predict", files={"image": (None, "photo.jpg")})
    assert answer.status_code == 422 and "-F image=@FILE" in answer.json()["detail"]


def test_two_files_in_a_form(server: Server) -> None:
    answer = server.post("/predict", files={"a": PHOTO, "b": PHOTO})
    assert answer.status_code == 422 and "files" in answer.json()["detail"]


def test_other_names_and_other_sites(server: Server) -> None:
    local = server.url.rpartition(":")[2]
    for host in ("evil.test", f"evil.test:{local}", "127.0.0.1.evil.test", "192.0.2.1", "[::1", ""):
        for path in ("/", "/models", "/examples/0/image"):
            answer = server.get(path, headers={"Host": host})
            assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    for host in (f"localhost:{local}", "LOCALHOST", f"[::1]:{local}"):
        assert server.get("/models", headers={"Host": host}).status_code == 200
    for headers in (
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},  # another server on this machine
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("/predict", "/probabilities", "/preview"):
            answer = server.post(path, PHOTO, headers=headers)
            assert answer.status_code == 403 and "other sites" in answer.json()["detail"]
        assert server.get("/examples/0/image", headers=headers).status_code == 403
    for headers in (
        {"Origin": server.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": server.url},  # an old browser
        {"Origin": "https://masks.test", "Sec-Fetch-Site": "same-origin"},  # behind a proxy
    ):
        assert server.post("/predict", PHOTO, headers=headers).status_code == 200


def test_open_to_others_any_address_is_an_own_one_and_any_name_is_not(finished: Path) -> None:
    with running(finished, "--host", "0.0.0.0") as server:
        server = server._replace(url=server.url.replace("0.0.0.0", "127.0.0.1"))
        assert server.get("/models", headers={"Host": "192.0.2.1:8000"}).status_code == 200
        assert server.get("/models", headers={"Host": "evil.test"}).status_code == 400


def test_a_body_above_the_limit(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (bytes(2**20) for _ in range(MAX_BODY // 2**20 + 1))

    address = server.url.removeprefix("http://")
    said = http.client.HTTPConnection(address, timeout=30)
    said.putrequest("POST", "/predict")
    said.putheader("Content-Length", str(MAX_BODY + 1))
    said.endheaders()  # refused before a byte of it is sent
    assert said.getresponse().status == 413
    said.close()
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(
        "POST", "/predict", chunks(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert connection.getresponse().status == 413
    connection.close()
    whole = server.post("/predict", PHOTO + bytes(MAX_BODY - len(PHOTO)))  # the limit itself
    assert whole.status_code == 200


NAMES = st.sampled_from(["model", "kind", "threshold", "white", "x"])
TEXTS = st.text(max_size=20) | st.sampled_from(["unet", "mask", "probability", "0.5", "255", "1e-400", "-0"])
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Accept", "Origin", "Host", "Expect", "Content-Encoding", "X", "Range"]),
    st.sampled_from(
        ["multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary="]
    )
    | st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
)
BODIES = (
    st.binary(max_size=300)
    | st.integers(0, len(PHOTO)).map(lambda end: PHOTO[:end])
    | st.tuples(st.integers(0, len(PHOTO) - 1), st.integers(0, 255)).map(
        lambda change: PHOTO[: change[0]] + bytes([change[1]]) + PHOTO[change[0] + 1 :]
    )
    | st.binary(max_size=100).map(
        lambda content: (
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
            + content
            + b"\r\n--x--\r\n"
        )
    )
)


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(["/predict", "/probabilities", "/preview", "/models", "/examples/0/image", "/"]),
    query=st.lists(st.tuples(NAMES, TEXTS), max_size=4),
    headers=HEADERS,
    body=BODIES,
)
def test_nothing_a_client_sends_is_a_fault(
    path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes, server: Server
) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = server.post(path, body, params=query, headers=sent)
    assert answer.status_code < 500 and "Traceback" not in answer.text
    assert server.get("/healthz").status_code == 200
