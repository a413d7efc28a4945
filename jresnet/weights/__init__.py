"""torch's state dicts and files to variables and back, without torch."""
