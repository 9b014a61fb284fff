"""A first model file, made from what is found in a dataset."""
