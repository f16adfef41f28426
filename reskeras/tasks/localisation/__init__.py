"""Localisation: where in an image the object of a class is, by per-class proposal networks (v1 appendix C)."""
