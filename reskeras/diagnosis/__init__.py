"""`reskeras doctor`: what a machine has for training, what training will choose on it, how fast that is, advice."""
