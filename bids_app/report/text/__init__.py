"""Every sentence of the report: overview, methods, assumptions, findings."""
