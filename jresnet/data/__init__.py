"""Data: TFDS and folder sources, Grain pipelines, augmentation on the device."""
