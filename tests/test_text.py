"""Foreign names: nothing in them moves a terminal's cursor, breaks a line or cannot be encoded."""

import os
import unicodedata

import pytest

from jresnet.text import shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", "cat"),
        ("größe 猫 кот", "größe 猫 кот"),
        ("a\u3000b\xa0c", "a\u3000b\xa0c"),
        ("\x1b[2Jgone\x07", r"\x1b[2Jgone\x07"),
        ("a\nb\r\tc\x7f\x9b", r"a\nb\r\tc\x7f\x9b"),
        ("\u202egpj.exe\u2069", r"\u202egpj.exe\u2069"),
        ("\u2028\u200b\ufeff", r"\u2028\u200b\ufeff"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        (3.5, "3.5"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, expected):
    assert shown(text) == expected


def test_every_character_is_shown_on_one_line_and_encodes():
    for code in range(0x110000):
        text = shown(chr(code))
        assert len(text.splitlines()) == 1
        assert unicodedata.category(text[0]) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown("".join(map(chr, range(0x110000)))).encode()


@pytest.mark.parametrize("limit", [5, 6, 20])
def test_a_long_name_is_cut_in_its_middle(limit):
    text = shown("x" * 50 + "\n.jpg", limit)
    assert len(text) == limit
    assert "..." in text
    assert text[0] == "x"
    assert text[-1] == "g"
    assert shown("y" * limit, limit) == "y" * limit
