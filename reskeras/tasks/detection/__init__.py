"""Objects in images: annotated sources, boxes, Faster R-CNN and what it is judged by."""
