"""The tools a model may be given."""
