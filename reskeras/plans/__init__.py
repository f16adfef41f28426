"""Plans: what a network computes, operation by operation, and what that costs. Needs no TensorFlow."""
