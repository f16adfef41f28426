"""Figures: drawings of networks, plots, and the HTML reports of runs."""
