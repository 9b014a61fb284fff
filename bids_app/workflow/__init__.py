"""The stages in their order: a run, a dry run, the report made again."""
