"""Image classification: networks, their training, evaluation and export."""
