"""A finished table of predictions in other formats, row by row, so that memory does not grow with it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deep_cnn.data.place_pulse import name_parts
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.inference.predict.output_table import rows_of
from deep_cnn.runtime.atomic import atomic_path, escaped, read_csv
from deep_cnn.runtime.errors import ConfigError, DataError, nearest
from deep_cnn.runtime.extras import require_extra


def is_text(column: str) -> bool:
    """Whether a column of a table of predictions has names, also where these look like numbers."""
    return column in ("file", "predicted", "set", "coverage_method") or column.startswith("class_")


def to_parquet(table: Path, target: Path) -> None:
    """Make a Parquet file of a CSV: columns of names as text, all others as the numbers that they are."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    # the types of the first block of the file would be taken for all of it: a column of names stays text
    texts = {escaped(name): pa.string() for name in next(read_csv(table)) if is_text(name)}
    options = pyarrow.csv.ConvertOptions(column_types=texts)
    parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
    reader = pyarrow.csv.open_csv(table, convert_options=options, parse_options=parsing)

    with atomic_path(target) as temporary, pyarrow.parquet.ParquetWriter(temporary, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def to_geojson(table: Path, target: Path) -> None:
    """A point per image (RFC 7946: longitude first). Images whose place is not known have a null geometry.

    Raises:
        DataError: no image has a place.
    """
    placed = 0
    with atomic_path(target) as temporary:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as out:
            out.write('{"type": "FeatureCollection", "features": [')
            for number, row in enumerate(rows_of(table)):
                place = place_of(row)
                placed += place is not None
                geometry = place and {"type": "Point", "coordinates": [place[1], place[0]]}
                properties = {
                    name: _value(name, cell) for name, cell in row.items() if name not in ("latitude", "longitude")
                }
                feature = {"type": "Feature", "geometry": geometry, "properties": properties}
                out.write((",\n" if number else "\n") + json.dumps(feature, ensure_ascii=False, allow_nan=False))
            out.write("\n]}\n")
        if not placed:
            raise DataError(
                f"--output={target.name}: no image has coordinates; a map needs columns latitude and longitude, "
                f"or Place Pulse's file names. The predictions are in {table}"
            )


# A format is a row: the ending of --output -> what makes it from the CSV file; None: the CSV itself
FORMATS: dict[str, Callable[[Path, Path], None] | None] = {
    ".csv": None,
    ".parquet": to_parquet,
    ".geojson": to_geojson,
}


def check_output(output: Path) -> None:
    """ConfigError for a format that cannot be written, before anything is computed."""
    ending = output.suffix.lower()
    if ending not in FORMATS:
        raise ConfigError(
            f"--output={output}: unknown format; choose a name that ends in {', '.join(FORMATS)}.{nearest(ending, FORMATS)}"
        )
    if ending == ".parquet":
        require_extra("export", ("pyarrow",), f"--output={output}")


def check_places(output: Path, images: Images) -> None:
    """DataError for a map of images without places, before anything is computed."""
    if output.suffix.lower() == ".geojson" and images.places is None and not any(map(name_parts, images.paths)):
        raise DataError(
            f"--output={output}: no image has coordinates; a map needs columns latitude and longitude, or Place Pulse's "
            "file names"
        )


def convert(table: Path, output: Path) -> None:
    """Make --output of the finished CSV, where it is another format."""
    if (make := FORMATS[output.suffix.lower()]) is not None:
        make(table, output)


def place_of(row: dict[str, str]) -> tuple[float, float] | None:
    """(latitude, longitude) from the columns, else from a Place Pulse name."""
    parts = name_parts(row["file"])
    for latitude, longitude in ((row.get("latitude"), row.get("longitude")), parts[:2] if parts else (None, None)):
        try:
            place = float(latitude or "nan"), float(longitude or "nan")
        except ValueError:
            continue
        if math.isfinite(place[0]) and math.isfinite(place[1]):
            return place
    return None


def _value(name: str, cell: str) -> Any:
    """A cell as JSON has it; names stay text, even where a class is called 1."""
    if is_text(name):
        return cell
    if cell in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[cell]
    number = float(cell)
    return number if math.isfinite(number) else None
