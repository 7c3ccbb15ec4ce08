"""Tables made from a known truth, as many programs write them: each is read right, or refused in one line."""

import csv
import io
import os
import posixpath
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pytest

from deep_cnn.data.cells import label_key
from deep_cnn.data.index import Index, build_index
from deep_cnn.inference.predict.inputs import read_images
from deep_cnn.runtime.errors import DataError, DeepCNNError

TABLES = int(os.environ.get("DEEP_CNN_TABLES", "300"))
SEED = int(os.environ.get("DEEP_CNN_FUZZ_SEED", "0"))  # of the first table
MISSING = ("NA", "", "None", "-", "#N/A", "nan", "NULL", "<NA>", "n/a", ".")
CLASSES = (("cat", "dog", "bird"), ("café", "thé", "größe"), ("True", "False"), ("1", "2", "3"), ("0", "1"))


@dataclass
class Truth:
    """What a table says. files: below the folder of images. targets: of some of the files; None where unknown."""

    files: list[str]
    targets: dict[str, object]
    groups: dict[str, str]
    column: str
    kind: str
    table: bytes = b""
    name: str = "t.csv"
    made: list[str] = field(default_factory=list)  # how, for messages


def make_truth(draw: Random) -> Truth:
    """Files in one of the usual layouts, and a target and a group for most of them."""
    count = draw.randint(12, 40)
    name = draw.choice(["{}", "p{}", "IMG_{:04d}", "Straße {}", "a.b-{}", "42.3{:02d}_-71.{}_x"])
    names = [name.format(i, i) + draw.choice([".jpg", ".jpg", ".JPG", ".png"]) for i in range(count)]
    layout = draw.choice(["flat", "flat", "folders", "same names"])
    if layout == "flat":
        files = names
    elif layout == "folders":
        files = [f"{draw.choice(['a', 'b', 'Ordner 1'])}/{name}" for name in names]
    else:
        files = [f"{folder}/{name}" for folder in ("left", "right") for name in names[: count // 2]]
    kind = draw.choice(["number", "number", "class", "labels"])
    words = draw.choice(CLASSES)
    targets: dict[str, object] = {}
    for i, file in enumerate(files):
        if kind == "number":
            targets[file] = draw.choice([i + 0.5, -i - 0.25, i / 8, 1000.0 * i, float(i)])
        else:
            targets[file] = (
                words[i % len(words)]
                if kind == "class"
                else ";".join(sorted({words[i % len(words)], words[i // 2 % len(words)]}))
            )
    if draw.random() < 0.5:
        targets |= {file: None for file in draw.sample(files[2:], len(files) // 6)}
    for file in draw.sample(files[2:], len(files) // 8):
        del targets[file]  # no row
    column = draw.choice(["score", "how safe, overall?", "größe", "how safe?\n1; 2; 3", "y"])
    return Truth(files, targets, {file: str(i % 4) for i, file in enumerate(files)}, column, kind, made=[layout, kind])


def write(truth: Truth, draw: Random) -> None:
    """The table, in a style of some program."""
    separator = draw.choice([",", ",", ";", ";", "\t", "|"])
    comma = draw.random() < (0.6 if separator == ";" else 0.15)
    style = draw.choice(["path", "path", "./", "windows", "foreign", "foreign windows", "name", "stem", "case", "NFD"])
    missing, blanks = draw.sample(MISSING, 2), draw.choice(["", " "])
    notation = draw.choice(["plain"] * 6 + ["percent", "thousands", "three digits"])
    spell = draw.random() < 0.4
    truth.made += [f"separator {separator!r}", style, notation, f"comma {comma}", f"spellings {spell}"]

    def image(file: str) -> str:
        name = file.rpartition("/")[2]
        return {
            "./": f"./{file}",
            "windows": file.replace("/", "\\"),
            "foreign": f"/home/you/my photos/{file}",
            "foreign windows": "C:\\Users\\you\\" + file.replace("/", "\\"),
            "name": name,
            "stem": name.rpartition(".")[0],
            "case": file.rpartition(".")[0] + "." + file.rpartition(".")[2].swapcase(),
            "NFD": unicodedata.normalize("NFD", file),
        }.get(style, file)

    def number(value: float) -> str:
        text = (
            f"{value:.3f}"
            if notation == "three digits"
            else f"{value:,.3f}"
            if notation == "thousands"
            else repr(value)
        )
        if notation == "percent":
            return f"{value}%"
        return text.replace(",", "").replace(".", ",") if comma and notation != "thousands" else text

    def label(word: str) -> str:
        if not spell:
            return word
        forms = [word, f" {word}", f"{word} ", unicodedata.normalize("NFD", word)]
        forms += (
            [f"{word}.0"] if word.isdecimal() else [word.upper(), word.lower()] if word in ("True", "False") else []
        )
        return draw.choice(forms)

    def target(value: object) -> str:
        if value is None:
            return draw.choice(missing)
        if isinstance(value, float):
            return number(value) + blanks
        return ";".join(label(word) for word in str(value).split(";"))

    columns = {"image": lambda f: image(f), truth.column: lambda f: target(truth.targets[f])}
    columns["place"] = lambda f: label(truth.groups[f]) if spell else truth.groups[f]
    order = [file for file in truth.files if file in truth.targets]
    draw.shuffle(order)
    row_of = {file: i for i, file in enumerate(order)}
    extras = {
        "": lambda f: row_of[f],
        "rating": lambda f: draw.randint(1, 5),
        "note": lambda f: draw.choice(["", "nice", 'a "quoted" one', "two\nlines", "x, y; z\t|"]),
        "date": lambda f: "2019-01-02",
        "url": lambda f: f"https://example.org/i/{row_of[f]}",
        "other": lambda f: f"{row_of[f]}.jpg",
    }
    for name in draw.sample(list(extras), draw.randint(0, 4)):
        columns[name] = extras[name]
    if draw.random() < 0.3:
        columns[draw.choice(["file name", "Bild", "photo", "id", "x"])] = columns.pop("image")
    names = list(columns)
    if draw.random() < 0.5:
        draw.shuffle(names)
    truth.made += [f"columns {names}"]
    out = io.StringIO()
    end = draw.choice(["\n", "\r\n", "\r\n", "\r"])
    quoting = (
        csv.QUOTE_ALL if end == "\r" else draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    )  # else "\n" is not quoted
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    out.write(f"sep={separator}{end}" if draw.random() < 0.15 else "")
    out.write(end * draw.choice([0, 0, 1, 3]))
    writer.writerow(names)
    for file in order:
        writer.writerow([columns[name](file) for name in names])
        out.write(end if draw.random() < 0.05 else "")
    text, encoding = out.getvalue(), draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
    try:
        truth.table = text.encode(encoding)
    except UnicodeEncodeError:  # decomposed accents
        encoding = "utf-8"
        truth.table = text.encode()
    truth.name = draw.choice(["t.csv", "t.csv", "t.tsv", "t.txt"])
    truth.made += [encoding, repr(end), truth.name]


def wrong(truth: Truth, index: Index) -> str:
    """What the index has that is not true; "" where everything is."""
    known = {file: value for file, value in truth.targets.items() if value is not None}
    if list(index.paths) != sorted(known):
        return f"images {list(index.paths)} instead of {sorted(known)}"
    for i, file in enumerate(index.paths):
        if said(index, i) != meant(known[file], index.task):
            return f"{file}: {said(index, i)} instead of {known[file]}"
    assert index.groups is not None
    pairs = {(truth.groups[file], int(group)) for file, group in zip(index.paths, index.groups, strict=True)}
    return "" if len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) else f"groups {sorted(pairs)}"


def said(index: Index, i: int) -> object:
    if index.task == "regression":
        return round(float(index.targets[i, 0]), 6)
    if index.task == "multilabel":
        return {
            unicodedata.normalize("NFC", name) for name, on in zip(index.classes, index.targets[i], strict=True) if on
        }
    return label_key(index.classes[index.targets[i]])  # one that is always written 3.0 keeps its name


def meant(value: object, task: str) -> object:
    if task == "regression":
        return round(float(value), 6)  # type: ignore[arg-type]
    if task == "multilabel":
        return set(str(value).split(";"))
    return f"{value:g}" if isinstance(value, float) else value


def outcome(seed: int, folder: Path) -> str:
    """right, refused: MESSAGE, or wrong: WHAT."""
    draw = Random(seed)
    truth = make_truth(draw)
    photos = folder / "photos"
    for file in truth.files:
        path = photos / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    write(truth, draw)
    table = folder / truth.name
    table.write_bytes(truth.table)
    how = f" [{seed}: {', '.join(truth.made)}]"
    try:
        index = build_index(photos, metadata=table, target=tuple(truth.column.split(",")), group="place")
    except DeepCNNError as mistake:
        assert str(mistake) and "\n" not in str(mistake)
        return f"refused: {mistake}{how}"
    if problem := wrong(truth, index):
        return f"wrong: {problem}{how}"
    try:
        images = read_images(str(table), None, [], [photos])
    except DataError as mistake:
        return f"wrong: predict does not read it: {mistake}{how}"
    asked = [file for file in truth.files if file in truth.targets]
    return (
        "right"
        if sorted(map(posixpath.normpath, images.paths)) == sorted(asked)
        else f"wrong: predict reads {list(images.paths)}{how}"
    )


@pytest.mark.slow
def test_no_table_is_read_wrong_in_silence(tmp_path):
    """Seeds 0 to 299, or DEEP_CNN_TABLES many from DEEP_CNN_FUZZ_SEED on. Refused are, among others, percent signs, 1,000, and file names that two folders have."""
    outcomes = []
    for seed in range(SEED, SEED + TABLES):
        (tmp_path / str(seed)).mkdir()
        outcomes.append(outcome(seed, tmp_path / str(seed)))
    counts = Counter(text.partition(":")[0] for text in outcomes)
    assert not counts["wrong"], "\n".join(text for text in outcomes if text.startswith("wrong"))
    assert counts["right"] >= 0.6 * TABLES, counts
    assert np.isclose(sum(counts.values()), TABLES)
