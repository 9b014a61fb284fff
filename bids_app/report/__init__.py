"""Report: atlas labels, tables, figures, the page."""
