"""A server that speaks TensorFlow Serving's REST API as its documentation has it."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import tensorflow as tf


class Stub(ThreadingHTTPServer):
    """Answers `:predict` by a SavedModel's `bytes` signature; `script` is what it does first, request by request."""

    def __init__(self, saved_model=None, script=()):
        super().__init__(("127.0.0.1", 0), Answering)
        self.serve = saved_model and saved_model.signatures["bytes"]
        self.script, self.requests = list(script), []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/models/tiny"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        step = self.server.script.pop(0) if self.server.script else None
        if step == "slow":
            time.sleep(2)
        if isinstance(step, tuple):
            return self.answer(*step)
        files = [base64.b64decode(instance["image_bytes"]["b64"]) for instance in body["instances"]]
        try:
            found = self.server.serve(image_bytes=tf.constant(files))
        except tf.errors.InvalidArgumentError as error:
            return self.answer(400, json.dumps({"error": str(error)}))
        # a row for each image, in which each output has its name
        columns = {name: plain(values.numpy().tolist()) for name, values in found.items()}
        rows = [{name: values[row] for name, values in columns.items()} for row in range(len(files))]
        return self.answer(200, json.dumps({"predictions": rows}))

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


def plain(values):
    """Strings for bytes."""
    if isinstance(values, list):
        return [plain(each) for each in values]
    return values.decode() if isinstance(values, bytes) else values
