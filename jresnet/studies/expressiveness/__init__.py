"""Every plain net is a residual net."""
