"""The input images: found, selected, checked and read; and the participants table."""
