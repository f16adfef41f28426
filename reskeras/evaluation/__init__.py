"""Accuracy as the papers measure it, and predictions, always in float32."""
