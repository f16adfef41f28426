"""Networks as data: families, orders, shortcuts, skips; from a name or a few fields to a plan. Needs no TensorFlow."""
