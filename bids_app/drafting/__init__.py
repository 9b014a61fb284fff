"""A first model file, drafted from the maps of a dataset."""
