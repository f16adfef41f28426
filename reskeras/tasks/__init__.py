"""Tasks: what is trained and judged. Each is a folder that implements one protocol, task.py."""
