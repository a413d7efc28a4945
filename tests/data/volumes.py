"""Small volumes on disk for tests: NIfTI files and DICOM series."""

import json

import numpy as np


def nifti(path, values, affine=None):
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def ball(size=(12, 14, 10), seed=0):
    """An image that is brighter in a ball, and the ball's map, along (i, j, k)."""
    rng = np.random.default_rng(seed)
    centre = np.array(size) / 2 + rng.uniform(-1, 1, 3)
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    labels = (np.linalg.norm(places - centre, axis=-1) < 3.5).astype(np.uint8)
    image = rng.normal(10, 1, size) + 8 * labels
    return image.astype(np.float32), labels


def decathlon(folder, count=5, names=None, **options):
    """A set of balls in the layout of nnU-Net."""
    for number in range(count):
        image, labels = ball(seed=number, **options)
        nifti(folder / "imagesTr" / f"case{number}_0000.nii.gz", image)
        nifti(folder / "labelsTr" / f"case{number}.nii.gz", labels)
    content = {
        "channel_names": {"0": "T1"},
        "labels": names or {"background": 0, "ball": 1},
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def dicom(folder, values, spacing=(2.0, 0.5, 0.75), origin=(10.0, -20.0, 30.0), order=None, **tags):
    """Slices of `values` int16 [slice, row, column], written in a shuffled order; axial planes."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    order = order or np.random.default_rng(0).permutation(len(values))
    for name, number in enumerate(order):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset(str(folder / f"{name}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
        one.SeriesInstanceUID = "1.2.3"
        one.Rows, one.Columns = values.shape[1:]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [origin[0], origin[1], origin[2] + spacing[0] * int(number)]
        one.PixelSpacing = [spacing[1], spacing[2]]
        one.RescaleSlope, one.RescaleIntercept = 2, -1000
        one.PixelData = np.ascontiguousarray(values[number], np.int16).tobytes()
        for tag, value in tags.items():
            setattr(one, tag, value(number) if callable(value) else value)
        pydicom.dcmwrite(folder / f"{name}.dcm", one, enforce_file_format=True)
    return folder


def plain(folder, count=3):
    """Splits of balls, each with folders of images and labels."""
    for split in ("train", "val"):
        for number in range(count):
            image, labels = ball(seed=number)
            nifti(folder / split / "images" / f"{number}.nii.gz", image)
            nifti(folder / split / "labels" / f"{number}.nii.gz", labels)
    return folder
