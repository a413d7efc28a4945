"""Names and units of metrics as people read them; results keep shares from 0 to 1.

A metric that is not in this table is shown under its own name and as it is.
"""

# By the part of the name before "/", after `_PREFIXES`; the rest of the name stands behind.
_PERCENT = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar": "AR",
    "class_ap": "AP",
}
_PREFIXES = {"mask/": "mask ", "keypoint/": "keypoint "}
_FROC = {
    "froc": "FROC: mean sensitivity (%)",
    "froc_low": "FROC, lower end of the interval (%)",
    "froc_high": "FROC, upper end of the interval (%)",
}


def displayed(name: str, value: float) -> tuple[str, float]:
    """A metric's name with its unit, and its value in that unit, such as per cent.

    `("mask/ap50/cell", 0.5)` becomes `("mask AP50 cell (%)", 50)`.
    """
    if name in _FROC:
        return _FROC[name], 100 * value
    if name.startswith("froc/"):
        rate = name.removeprefix("froc/")
        return f"sensitivity at {rate} false positives an image (%)", 100 * value
    prefix = next((start for start in _PREFIXES if name.startswith(start)), "")
    head, _, rest = name.removeprefix(prefix).partition("/")
    if head not in _PERCENT:
        return name, value
    if head == "ar" and rest.isdecimal():
        rest = f"with {rest} detections" if rest != "1" else "with 1 detection"
    label = " ".join(part for part in (_PERCENT[head], rest) if part)
    return f"{_PREFIXES.get(prefix, '')}{label} (%)", 100 * value
