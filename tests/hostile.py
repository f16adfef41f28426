"""A server that answers byte for byte what a test says, however wrong."""

import socket
import threading
import time


class Hostile:
    """Answers each connection by the next of `answers`, the last one again and again: bytes, or (bytes before, bytes
    that are sent one at a time, seconds between them)."""

    def __init__(self, *answers):
        self.answers, self.requests, self.over = list(answers), [], threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))

    @property
    def host(self):
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    @property
    def url(self):
        return f"http://{self.host}/v1/models/tiny"

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.socket.close()

    def _serve(self):
        while not self.over.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            threading.Thread(target=self._answer, args=(connection, answer), daemon=True).start()

    def _answer(self, connection, answer):
        with connection:
            try:
                connection.settimeout(10)
                self.requests.append(self._request(connection))
                at_once, drops, every = answer if isinstance(answer, tuple) else (answer, b"", 0)
                connection.sendall(at_once)
                for drop in drops:
                    if self.over.is_set():
                        return
                    connection.sendall(bytes([drop]))
                    time.sleep(every)
            except OSError:
                return

    @staticmethod
    def _request(connection):
        """The head of a request, when its body has come too."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head


def http(body=b"", status="200 OK", **headers):
    """An HTTP answer, with `headers` that have underscores for dashes."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def predictions(*rows):
    """An answer with rows that are JSON already."""
    return http(b'{"predictions": [' + ",".join(rows).encode() + b"]}")
