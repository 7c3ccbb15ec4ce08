"""A list of images in parts, one per job of an array, and the parts put together again."""

import re
import shutil
from pathlib import Path

from deep_cnn.inference.predict.output_table import TableFiles, digest_of, edited, header_of, read_contents
from deep_cnn.runtime.atomic import atomic_path, read_json, write_json
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.scheduler import array_place


def parse_shard(given: str | None) -> tuple[int, int]:
    """--shard=i/n, i from 1 to n; by default this job's place in its array; (1, 1) outside of one."""
    if given is None:
        return array_place() or (1, 1)
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", given)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard={given}: expected i/n with i from 1 to n, and n below a million, for example 1/4")
    return int(match[1]), int(match[2])


def shard_bounds(shard: tuple[int, int], images: int, block: int) -> tuple[int, int]:
    """First and last + 1 image of a shard; all but the end of the last one are multiples of `block`."""
    number, count = shard
    blocks = -(-images // block)
    first, last = (blocks * i // count * block for i in (number - 1, number))
    return min(first, images), min(last, images)


def shard_file(output: Path, shard: tuple[int, int]) -> Path:
    """FILE.csv, or FILE.shard-2-of-8.csv."""
    number, count = shard
    return output if count == 1 else output.with_name(f"{output.stem}.shard-{number}-of-{count}{output.suffix}")


def part_of(shard: tuple[int, int], number: int, count: int) -> tuple[int, int]:
    """The number-th (from 0) of `count` equal parts of a shard, as a shard of all images."""
    return (shard[0] - 1) * count + number + 1, shard[1] * count


def merge(output: Path, count: int | None = None) -> dict:
    """Put the shards of FILE.csv together, failures likewise; what the table's .json then says.

    Args:
        count: how many there are; by default as many as their names say.

    Raises:
        DataError: no shards, one missing or unfinished, or of different networks or images; names it.
    """
    pattern = re.compile(re.escape(output.stem) + r"\.shard-(\d+)-of-(\d+)" + re.escape(output.suffix))
    counts = (
        {int(m[2]) for p in output.parent.glob("*.csv") if (m := pattern.fullmatch(p.name))}
        if count is None
        else {count}
    )
    if len(counts) != 1:
        found = "no shards" if not counts else f"shards of {' and of '.join(map(str, sorted(counts)))}"
        raise DataError(
            f"--merge: {found} of {output} (files like {shard_file(output, (1, 4)).name}); expected the shards of one run"
        )
    count = counts.pop()
    parts = [TableFiles(shard_file(output, (i, count))) for i in range(1, count + 1)]
    abouts = [read_json(part.about) or {} for part in parts]
    for part, about in zip(parts, abouts, strict=True):
        if not about or not part.rows.exists():
            raise DataError(f"--merge: {part.rows.name} is missing; run predict with --shard={_number(part)}/{count}")
        if not about.get("complete"):
            raise DataError(
                f"--merge: {part.rows.name} is not finished; run the same command with --shard={_number(part)}/"
                f"{count} to resume"
            )
        if edited(part, about) or not all(isinstance(about.get(k), int) for k in ("rows", "failed", "images")):
            raise DataError(
                f"--merge: {part.rows.name} was edited or damaged since it was finished; remove it, and run predict with "
                f"--shard={_number(part)}/{count}"
            )
        if different := [
            k
            for k in ("checkpoints", "list", "images", "columns", "precision", "flips", "coverage")
            if about.get(k) != abouts[0].get(k)
        ]:
            raise DataError(
                f"--merge: {part.rows.name} was made with other {', '.join(different)} than {parts[0].rows.name}; run both with the same flags"
            )
    rows, failed = (sum(about[k] for about in abouts) for k in ("rows", "failed"))
    if rows + failed != abouts[0]["images"]:
        raise DataError(
            f"--merge: {rows:,} rows and {failed:,} failures in the shards do not add up to {abouts[0]['images']:,} images; run the shards again"
        )
    whole = TableFiles(output)
    lists = [part.failed for part in parts if part.failed.exists()]
    for target, sources in ((whole.failed, lists), (whole.rows, [part.rows for part in parts])):
        if not sources:  # nothing has failed
            target.unlink(missing_ok=True)
            continue
        with atomic_path(target, durable=True) as temporary:
            _concatenate(sources, temporary)
    bounds = [about["rows"] + about["failed"] for about in abouts]
    with atomic_path(whole.contents) as temporary, open(temporary, "wb") as file:
        for part, count in zip(parts, bounds, strict=True):
            file.write(read_contents(part, count).tobytes())
    about = abouts[0] | {"shard": "1/1", "rows": rows, "failed": failed, "sha256": digest_of(whole, failed)}
    write_json(whole.about, about, durable=True)
    return about


def remove(output: Path, count: int) -> None:
    """The shards, after they were put together."""
    for number in range(1, count + 1):
        part = TableFiles(shard_file(output, (number, count)))
        for path in (part.rows, part.failed, part.contents, part.about):
            path.unlink(missing_ok=True)


def _number(part: TableFiles) -> str:
    return part.rows.stem.rsplit("-", 3)[1]


def _concatenate(sources: list[Path], target: Path) -> None:
    """One table of several with the same header, byte by byte."""
    with open(target, "wb") as out:
        for number, source in enumerate(sources):
            with open(source, "rb") as file:
                header = header_of(file)
                if number == 0:
                    out.write(header)
                shutil.copyfileobj(file, out)
