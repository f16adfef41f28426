"""Pretrained weights of other libraries: read by name, ported to a spec, verified numerically; and exported back."""
