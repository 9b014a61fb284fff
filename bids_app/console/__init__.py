"""Console output of a run: stages, warnings, progress; and the wording that messages share."""
