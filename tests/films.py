"""Video files for tests, written by PyAV."""

import fractions

import numpy as np


def write_film(path, pictures, codec="mpeg4", rate=25, first=None, options=None):
    """A video of `pictures`, uint8 [n, H, W, 3]; with `first` they are numbered from there on."""
    import av  # an extra

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fractions.Fraction(rate))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if first is not None:
                frame.pts = first + number
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def turn(path):
    """Tag an MP4 file as held upright, a quarter turn clockwise: the matrix of its track's header."""
    content = path.read_bytes()
    one, zero, minus = b"\x00\x01\x00\x00", bytes(4), b"\xff\xff\x00\x00"
    rest = zero + zero + zero + b"\x40\x00\x00\x00"
    usual = one + zero + zero + zero + one + rest
    quarter = zero + one + zero + minus + zero + rest  # x to y and y to -x
    place = content.index(usual, content.index(b"tkhd"))
    path.write_bytes(content[:place] + quarter + content[place + len(usual) :])
    return path


def moving_square(count=12, height=48, width=64):
    """A white square that moves to the right by two pixels a frame, on dark grey."""
    pictures = np.full((count, height, width, 3), 40, np.uint8)
    for number in range(count):
        pictures[number, 16:32, 2 * number : 2 * number + 16] = 220
    return pictures
