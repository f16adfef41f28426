"""What limits a training on many accelerators, counted before anything is built; no TensorFlow."""
