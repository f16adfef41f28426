"""Search over network specs and recipes, with KerasTuner's tuners."""

from reskeras.environment import defaults

# a chief forks workers, and gRPC, which KerasTuner imports, would print a line at each fork
with defaults(GRPC_ENABLE_FORK_SUPPORT="0"):
    import grpc  # noqa: F401
