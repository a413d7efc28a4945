"""Operations of object detection: pure functions of one image, batched by `jax.vmap`.

Boxes are float `[count, 4]`, x1 y1 x2 y2 in pixels, of a fixed count: rows beyond the real ones are
padding, told by a mask. Shapes never depend on values, so that one program serves all images.
"""
