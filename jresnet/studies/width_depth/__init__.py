"""Width against depth: error, parameters and time of a step."""
