"""A hub of one's own on this machine: the answers of the real one's API that its client asks for."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "a" * 40


class Hub:
    """Serves the files below ``folder/models/<org>/<name>``; those of ``gated`` repositories ask for a token."""

    def __init__(self, folder, gated=()):
        self.folder, self.gated, self.asked = folder, gated, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def do_GET(self):
                hub.asked.append(self.path)
                api = re.fullmatch(
                    r"/api/models/([^/]+/[^/]+)(/revision/[^/?]+|/tree/[^?]+)?(\?.*)?", self.path
                )
                file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)(\?.*)?", self.path)
                repo = (api or file)[1] if api or file else None
                place = hub.folder / "models" / str(repo)
                if repo is None or not place.is_dir():
                    return self.answer(404, X_Error_Code="RepoNotFound")
                names = sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())
                if api and "/tree/" in (api[2] or ""):
                    return self.answer(200, json.dumps([self.about(place, name) for name in names]).encode())
                if api:
                    content = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
                    return self.answer(200, json.dumps(content).encode())
                if repo in hub.gated:
                    return self.answer(403, X_Error_Code="GatedRepo", X_Repo_Commit=COMMIT)
                if file[3] not in names:
                    return self.answer(404, X_Error_Code="EntryNotFound")
                body = (place / file[3]).read_bytes()
                etag = hashlib.sha256(body).hexdigest()
                return self.answer(200, body, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

            do_HEAD = do_GET  # noqa: N815

            def about(self, place, name):
                body = (place / name).read_bytes()
                return {
                    "type": "file",
                    "path": name,
                    "size": len(body),
                    "oid": hashlib.sha1(body).hexdigest(),
                }

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
