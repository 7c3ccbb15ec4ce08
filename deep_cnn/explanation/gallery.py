"""Where a run's explanations lie: for whoever shows them, such as report.html."""

from pathlib import Path

from deep_cnn.storage import read_json

FOLDER = "explain"


def folder_of(results: Path) -> Path:
    return results / FOLDER


def explanation_pictures(results: Path) -> list[tuple[str, Path]]:
    """(caption, picture) of a run's explanations: the contact sheets and the sanity check; none before `explain`.

    results: the run's folder of results.
    """
    about = read_json(folder_of(results) / "explain.json")
    if about is None:
        return []
    found = [(item["caption"], folder_of(results) / item["file"]) for item in about["pictures"]]
    return [(caption, path) for caption, path in found if path.is_file()]
