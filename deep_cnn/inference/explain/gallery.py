"""The pictures of a run's explanations: for whoever shows them, such as report.html."""

from pathlib import Path

from deep_cnn.runtime.atomic import read_json


def explanation_pictures(folder: Path) -> list[tuple[str, Path]]:
    """(caption, picture) of a run's explanations: the contact sheets and the sanity check; none before `explain`.

    folder: `RunFiles.explanations`.
    """
    about = read_json(folder / "explain.json")
    if about is None:
        return []
    found = [(item["caption"], folder / item["file"]) for item in about["pictures"]]
    return [(caption, path) for caption, path in found if path.is_file()]
