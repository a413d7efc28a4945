"""Study of detectors: boxes, masks and keypoints."""
