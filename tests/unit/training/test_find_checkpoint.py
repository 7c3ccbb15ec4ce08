"""What a resumed run says of code that has changed."""

import pytest

from deep_cnn.config.identity import OTHER_NUMBERS, SAME_NUMBERS
from deep_cnn.training.resume import _changed_sources


@pytest.mark.parametrize("digest", OTHER_NUMBERS)
def test_an_unfinished_run_of_another_release_is_not_continued_in_silence(digest):
    said = _changed_sources(digest, finished=False)
    assert f"version {OTHER_NUMBERS[digest]}" in said and "--resume=never" in said and "\n" not in said
    assert digest not in SAME_NUMBERS


def test_changed_code_of_one_s_own():
    assert "continues with the new code" in _changed_sources("0" * 64, finished=False)
    assert "since this run finished" in _changed_sources("0" * 64, finished=True)
