"""Weights from elsewhere: read by name, put into the network they belong to, proven; and the way back."""
