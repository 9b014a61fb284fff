"""The page that people read, made from what the output folder holds."""
