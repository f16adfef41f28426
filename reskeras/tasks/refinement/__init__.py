"""Refinement: a localiser's best boxes judged one by one, cut out of the image (v1 appendix C: RoI-centric R-CNN)."""
