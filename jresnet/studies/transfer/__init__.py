"""Transfer: a trained net on another set, against training from scratch."""
