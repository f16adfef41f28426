"""Fitting a compiled network by a recipe."""
