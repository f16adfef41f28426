"""Artefacts of a trained run, each measured against the Keras model before it is called done."""
