"""What a Keras model really is: its graph read without running it, the closest spec, the deviations from the papers."""
