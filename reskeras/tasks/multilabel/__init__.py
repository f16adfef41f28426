"""Multi-label classification: images of any number of classes each, their training, evaluation and export."""
