"""Studies: trainings, measurements of the trained nets, figures and conclusions."""
