"""Object detection: annotated sources, boxes, Faster R-CNN, and its evaluation."""
