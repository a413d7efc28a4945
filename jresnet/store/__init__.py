"""Folders in object stores, `gs://` and `s3://`, and their copies on this machine."""
