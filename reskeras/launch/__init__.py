"""Worker processes on this machine, started and kept alive as a group. Standard library only."""
