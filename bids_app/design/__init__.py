"""Which map is which row: between-subject columns, conditions, contrasts, and what columns span."""
