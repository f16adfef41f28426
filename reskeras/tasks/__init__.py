"""Tasks: classification and detection, each a package that implements the protocol in task.py."""
