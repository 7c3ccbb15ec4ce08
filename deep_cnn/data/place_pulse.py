"""Place Pulse 2.0 as its users have it: images LAT_LON_ID_CITY.JPG, and qscores.tsv with a row per image and study."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deep_cnn.data.certainty import CertaintyColumns
from deep_cnn.data.table import Table, stem
from deep_cnn.runtime.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from deep_cnn.data.index import IndexOptions

SCORE = "trueskill.score"
STD, VOTES = "trueskill.stds.-1", "num_votes"
COLUMNS = frozenset(("location_id", "study_id", SCORE))
STUDIES = {  # the questions behind the ids: "which place looks safer / livelier / ...?"
    "50a68a51fdc9f05596000002": "safety",
    "50f62c41a84ea7c5fdd2e454": "lively",
    "50f62c68a84ea7c5fdd2e456": "boring",
    "50f62cb7a84ea7c5fdd2e458": "wealthy",
    "50f62ccfa84ea7c5fdd2e459": "depressing",
    "5217c351ad93a7d3e7b07a64": "beautiful",
}


def is_place_pulse(table: Table) -> bool:
    """Whether the table has the columns of qscores.tsv."""
    return set(table.frame.columns) >= COLUMNS


def name_parts(path: str) -> tuple[str, str, str, str] | None:
    """ "images/42.3_-71.0_513d7e23_Boston.JPG" -> ("42.3", "-71.0", "513d7e23", "Boston"), None for other names."""
    parts = stem(path[path.rfind("/") + 1 :]).split("_", 3)  # at most 3: a city may hold a "_"
    if len(parts) != 4:
        return None
    latitude, longitude, location_id, city = parts
    return latitude, longitude, location_id, city


def add_places(table: Table, paths: Sequence[str]) -> tuple[Table, np.ndarray]:
    """Columns latitude, longitude and city from the file names (for --where and --group), and each row's file.

    Returns:
        the table; int64 (M,) positions in `paths`, -1 where no file has the row's location_id.
    """
    where: dict[str, int] = {}
    places = []
    for i, path in enumerate(paths):
        parts = name_parts(path) or ("", "", "", "")
        places.append(parts)
        if parts[2] in where:
            raise DataError(
                f"{paths[where[parts[2]]]} and {path} have the same location_id, {parts[2]}; remove one of them"
            )
        if parts[2]:
            where[parts[2]] = i
    if not where:
        example = f" (found {paths[0]})" if len(paths) else ""
        raise DataError(
            f"--study_id: no image is named LAT_LON_ID_CITY.JPG as in Place Pulse{example}; check --data_dir"
        )
    positions = np.array([where.get(cell, -1) for cell in table.column("location_id", "--metadata")], dtype=np.int64)
    frame = table.frame.copy()
    for name, field in (("latitude", 0), ("longitude", 1), ("city", 3)):
        if name not in frame.columns:
            frame[name] = [places[i][field] if i >= 0 else "" for i in positions]
    return replace(table, frame=frame), positions


def choose_studies(table: Table, study_id: str | None) -> list[str]:
    """The studies that --study_id means: one, several separated by commas, or all of the table's."""
    known = sorted(set(table.column("study_id", "--metadata")) - {""})
    if study_id == "all":
        return known
    by_name = {name: identity for identity, name in STUDIES.items()}
    words = [word.strip() for word in (study_id or "").split(",") if word.strip()]
    chosen = [word if word in known else by_name.get(word, word) for word in words]  # some tables have the names as ids
    for word in chosen:
        if word not in known:
            raise DataError(
                f"--study_id={word}: not in {table.name}.{nearest(word, known)} Available studies: {_list(known)}"
            )
    if not chosen:
        raise DataError(
            f"--study_id: {table.name} has one score per study; choose one, several (A,B) or all of: {_list(known)}"
        )
    return list(dict.fromkeys(chosen))


def _list(studies: Sequence[str]) -> str:
    return ", ".join(f"{study} ({STUDIES[study]})" if study in STUDIES else study for study in studies[:8])


def widen(
    table: Table, positions: np.ndarray, studies: list[str], score: str
) -> tuple[Table, np.ndarray, tuple[str, ...]]:
    """One row per location with a column of scores per study (empty where it was not rated).

    Returns:
        the table; its rows' positions among the files; the names of the new columns.

    Raises:
        DataError: two different scores of one study for one location.
    """
    table.column(score, "--target")
    frame = table.frame.assign(_position=positions)[table.frame["study_id"].str.strip().isin(studies)]
    twice = frame.duplicated(["location_id", "study_id"], keep=False) & ~frame.duplicated(
        ["location_id", "study_id", score], keep=False
    )
    if twice.any():
        raise DataError(
            f"{table.name}: two scores of the same study for {frame[twice].iloc[0]['location_id']} (line {frame.index[twice][0]}); keep one"
        )
    wide = frame.drop_duplicates("location_id")
    names = tuple(STUDIES.get(study, study) for study in studies)
    for study, name in zip(studies, names, strict=True):
        scores = (
            frame[frame["study_id"].str.strip() == study].drop_duplicates("location_id").set_index("location_id")[score]
        )
        wide = wide.assign(**{name: pd.Series(wide["location_id"].map(scores), index=wide.index).fillna("")})
    positions = wide["_position"].to_numpy(dtype=np.int64)
    return replace(table, frame=wide.drop(columns="_position")), positions, names


def with_certainty(
    wide: Table, long: Table, studies: list[str], options: "IndexOptions"
) -> tuple[Table, CertaintyColumns]:
    """A column for each study with TrueSkill's standard deviations, and with the numbers of votes if --weigh_by=votes.

    Args:
        wide: one row per location, from `widen`. long: one row per location and study.

    Raises:
        ConfigError: flags that this table has no columns for.
    """
    if options.raters:
        raise ConfigError(
            f"--raters={','.join(options.raters)}: a Place Pulse table has scores, not the raters' columns"
        )
    if len(options.target_std) > 1:
        raise ConfigError(
            f"--target_std={','.join(options.target_std)}: a Place Pulse table has one such column; give that"
        )
    std = long.find(options.target_std[0], "--target_std") if options.target_std else STD
    if (std not in long.frame.columns and options.weigh_by == "std") or (
        VOTES not in long.frame.columns and options.weigh_by == "votes"
    ):
        raise ConfigError(
            f"--weigh_by={options.weigh_by}: {long.name} has no column {std if options.weigh_by == 'std' else VOTES}"
        )
    wanted = {"std": std, "votes": VOTES if options.weigh_by == "votes" else ""}
    frame, found = wide.frame, {}
    for kind, column in wanted.items():
        if column not in long.frame.columns:
            continue
        found[kind] = tuple(f"{column} of {STUDIES.get(study, study)}" for study in studies)
        for study, name in zip(studies, found[kind], strict=True):
            of_study = long.frame[long.frame["study_id"].str.strip() == study].drop_duplicates("location_id")
            cells = frame["location_id"].map(of_study.set_index("location_id")[column])
            frame = frame.assign(**{name: pd.Series(cells, index=frame.index).fillna("")})
    return replace(wide, frame=frame), CertaintyColumns(
        (), found.get("std", ()), found.get("votes", ()), posterior=True
    )
