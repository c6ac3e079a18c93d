"""A real server on 127.0.0.1 that drops, stalls, refuses and lies, as it is told to."""

import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = random.Random(0).randbytes(2_000_000)


class Site(ThreadingHTTPServer):
    """Serves BODY, each request in the way that `plan` says next; good once the plan is used up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/images.tar.gz"
        self.plan: list[str] = []
        self.body = BODY
        self.ranges: list[str | None] = []  # one for each request
        self.served = 0  # bytes of bodies
        self.headers: dict[str, str] = {}  # for each response
        self.ended = threading.Event()
        self.draw = random.Random(0)  # where "drop anywhere" drops


class Handler(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.server
        self.close_connection = True
        way = site.plan.pop(0) if site.plan else "good"
        wanted = self.headers["Range"]
        site.ranges.append(wanted)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
        if way.isdigit():
            self.reply(int(way), b"sorry")
        elif wanted and "ignore range" not in way and start >= len(site.body):
            self.reply(416, b"", {"Content-Range": f"bytes */{len(site.body)}"})
        elif wanted and "ignore range" not in way:
            shift = 1 if way == "wrong start" else 0
            span = f"bytes {start - shift}-{len(site.body) - 1}/{len(site.body)}"
            self.reply(206, site.body[start - shift :], {"Content-Range": span}, way)
        else:
            self.reply(200, site.body, {}, way)

    def reply(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, way: str = "good"
    ) -> None:
        self.send_response(status)
        chunked = way.startswith("chunked")
        length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
        for name, value in {**length, **(headers or {}), **self.server.headers}.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")  # or a client may ask again on the closing connection
        self.end_headers()
        if way == "drip":
            return self.drip(body)
        until = self.server.draw.randrange(len(body) + 1) if way == "drop anywhere" else len(body) // 2
        sent = body[:until] if "drop" in way or "stall" in way else body
        if way == "nothing":
            return
        self.wfile.write(b"%x\r\n%b\r\n" % (len(sent), sent) if chunked else sent)
        if way == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        if status < 400:
            self.server.served += len(sent)
        if way == "stall":
            self.server.ended.wait(30)

    def drip(self, body: bytes) -> None:
        for position in range(len(body)):
            try:
                self.wfile.write(body[position : position + 1])
            except OSError:  # the client has had enough
                return
            self.server.served += 1
            if self.server.ended.wait(0.05):
                return

    def log_message(self, *_: object) -> None:
        pass
