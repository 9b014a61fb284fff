"""Every picture and every interactive map of the report."""
