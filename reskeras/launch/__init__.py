"""Launcher: worker processes on this machine, started and restarted as a group. Standard library only."""
