"""Search over network specs and recipes, with KerasTuner's tuners."""
