"""A local double of a Confluent-compatible schema registry: the five calls we make, answered as it answers.

The real one that runs without containers (Apicurio) is a download of 158 MB and half a minute of start, for
five calls. So the tests run against this by default, and against a real one when CASHBACK_TEST_REGISTRY_URL
names it (`/apis/ccompat/v7` of Apicurio): that is how this double was checked.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote

from fastavro import parse_schema

from schemas.compatibility import full_transitive_breaks

Answer = tuple[int, Any]


@dataclass
class Contents:
    """What a registry knows. Ids count from `next_id`; the same content has one id in all subjects."""

    next_id: int = 1
    ids: dict[str, int] = field(default_factory=dict)
    subjects: dict[str, list[str]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    credentials: str | None = None
    failing: bool = False
    lock: Lock = field(default_factory=Lock)

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """Status and JSON for one request."""
        versions = re.fullmatch(r"/subjects/([^/]+)/versions(?:/(\d+))?", path)
        config = re.fullmatch(r"/config/([^/]+)", path)
        if method == "POST" and versions:
            return self._register(unquote(versions[1]), body["schema"])
        if method == "GET" and versions:
            return self._versions(unquote(versions[1]), versions[2])
        if method == "PUT" and config:
            self.levels[unquote(config[1])] = body["compatibility"]
            return 200, {"compatibility": body["compatibility"]}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, subject: str, text: str) -> Answer:
        canonical = _canonical(text)
        known = self.subjects.setdefault(subject, [])
        if canonical not in known:
            everyone = [json.loads(each) for each in (*known, canonical)]
            if self.levels.get(subject) == "FULL_TRANSITIVE" and full_transitive_breaks(everyone):
                return 409, {"error_code": 409, "message": "Schema being registered is incompatible"}
            known.append(canonical)
        if canonical not in self.ids:
            self.ids[canonical] = self.next_id
            self.next_id += 1
        return 200, {"id": self.ids[canonical]}

    def _versions(self, subject: str, number: str | None) -> Answer:
        known = self.subjects.get(subject)
        if not known:
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        if number is None:
            return 200, list(range(1, len(known) + 1))
        text = known[int(number) - 1]
        answer = {"subject": subject, "version": int(number), "id": self.ids[text], "schema": text}
        return 200, answer


@contextmanager
def served(contents: Contents) -> Iterator[str]:
    """Serve `contents` on a free port of loopback; yields the URL."""

    class Call(BaseHTTPRequestHandler):
        def _call(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with contents.lock:
                if contents.failing:
                    status, said = 500, {"error_code": 50001, "message": "Error in the backend data store"}
                elif contents.credentials != self.headers.get("Authorization"):
                    status, said = 401, {"error_code": 401, "message": "Unauthorized"}
                else:
                    status, said = contents.answer(self.command, self.path, json.loads(body or b"null"))
            out = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PUT = _call  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Call) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _canonical(text: str) -> str:
    """As registries store it: parsed and written again, full names and another order of attributes."""
    parsed: Any = parse_schema(json.loads(text))
    return json.dumps({key: value for key, value in sorted(parsed.items()) if not key.startswith("__")})
