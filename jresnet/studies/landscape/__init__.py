"""Loss landscapes: the loss around trained nets, its curvature, and the path of training."""
