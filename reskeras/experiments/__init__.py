"""The papers' tables and figures as suites: rows of network, recipe, data and published numbers, to reproduce."""
