"""What tests of several modules are made from."""
