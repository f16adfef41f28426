"""Search over network specs and recipes, with KerasTuner's tuners."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # a chief starts workers; gRPC tells each fork otherwise
