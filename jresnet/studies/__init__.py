"""What studies of trained nets measure, from a subject to a table."""
