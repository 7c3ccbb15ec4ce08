"""A table that another program changes while it is written is not called complete."""

import numpy as np
import pytest

from deep_cnn.data.files import Paths
from deep_cnn.inference.predict.output_table import OutputTable, TableFiles
from deep_cnn.runtime.errors import ConfigError, MachineError

NAMES = [f"{letter}.png" for letter in "abcd"]
PATHS = Paths("".join(NAMES).encode(), np.arange(5) * 5)
CONTENTS = np.ones((1, 3), np.int64)


@pytest.fixture
def files(tmp_path):
    return TableFiles(tmp_path / "p.csv")


def table_of(files):
    return OutputTable(files, ["file", "score"], {"images": 4})


def write(table, names):
    for name in names:
        table.add([[name, 0.5]], [], CONTENTS)
    table.flush()


def cut_short(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 3)


def edited(path):
    with open(path, "r+b") as file:
        file.seek(-3, 2)
        file.write(b"9")


def longer(path):
    with open(path, "ab") as file:
        file.write(b"e.png,0.5\n")


def exchanged(path):
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text)


@pytest.mark.parametrize("companion", ["rows", "failed", "contents"])
@pytest.mark.parametrize("change", [cut_short, edited, longer, exchanged, lambda path: path.unlink()])
def test_a_table_that_was_changed_while_it_was_written_is_not_finished(files, change, companion):
    with pytest.raises(MachineError, match=r"p\S*: was changed, replaced or deleted by another program"):  # noqa: SIM117
        with table_of(files) as table:
            table.resume(PATHS, 0, 4)
            write(table, NAMES[:2])
            change(getattr(files, companion))
            write(table, NAMES[2:])
            table.finish(4)


def test_rows_that_are_there_count_for_the_sum_of_all(files):
    for part in (NAMES[:2], NAMES[2:]):
        with table_of(files) as table:
            table.resume(PATHS, 0, 4)
            write(table, part)
    with table_of(files) as table:
        assert table.resume(PATHS, 0, 4) == 4
        assert table.finish(4)["complete"]
    assert files.rows.read_text() == "file,score\n" + "".join(f"{name},0.5\n" for name in NAMES)


def test_a_table_with_another_first_line_is_not_gone_on_with(files):
    with table_of(files) as table:
        table.resume(PATHS, 0, 4)
        write(table, NAMES[:2])
    files.rows.write_text(files.rows.read_text().replace("score", "value"))
    with pytest.raises(ConfigError, match="its first line is not that of this table"), table_of(files) as table:
        table.resume(PATHS, 0, 4)
