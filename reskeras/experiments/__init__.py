"""The papers' tables and figures as rows of network, recipe, data and published number, to be run again."""
