"""Identification of Keras models: the graph read without running it, the closest spec, deviations from the papers."""
