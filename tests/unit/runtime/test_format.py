"""Numbers as people read them."""

import pytest

from deep_cnn.runtime import format


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format.readable(12_345_678), "12.3 MB"),
        (format.readable(999), "999 bytes"),
        (format.readable(999.6), "1 kB"),
        (format.readable(999_600), "1 MB"),
        (format.readable(3e15), "3e+03 TB"),
        (format.duration(75), "1m 15s"),
        (format.duration(7261), "2h 01m"),
        (format.duration(-1), "0s"),
        (format.quantity(250_000), "250,000"),
        (format.quantity(-12_345.6), "-12,346"),
        (format.quantity(3.14159), "3.142"),
        (format.quantity(1234.5, digits=3), "1,234"),
        (format.quantity(9999.7), "10,000"),
        (format.quantity(-float("inf")), "-inf"),
        (format.number(999.6), "1,000"),
        (format.quantity(float("nan")), "unknown"),
        (format.percent(0.8755), "87.5%"),
        (format.percent(0.5139, decimals=2), "51.39%"),
        (format.short_count(62_006), "62 k"),
        (format.short_count(11_173_962), "11.2 M"),
        (format.short_count(1_814_073_344), "1.81 G"),
        (format.short_count(12), "12"),
        (format.short_count(999_960), "1 M"),
        (format.short_count(999.96), "1 k"),
        (format.plural(1, "epoch"), "1 epoch"),
        (format.plural(1200, "epoch"), "1,200 epochs"),
        (format.cell(None), ""),
        (format.cell(1e-5), "1e-05"),
        (format.cell(0.25), "0.25"),
        (format.cell("resnet18"), "resnet18"),
        (format.cell(True), "True"),
    ],
)
def test_numbers_as_text(text, expected):
    assert text == expected


def test_some_names_stay_in_one_line():
    assert format.some(["a", "b", "c", "d"]) == "a, b, c, ..."
    assert format.some(["cat\n", "dog"]) == "cat\\n, dog"
