"""Files that are not what their names say, by their first bytes."""

import codecs
import re

OTHER_TEXT = {b"<?xml": "XML", b"{\\rtf": "rich text (RTF)", b"%PDF": "a PDF", b"RDX": "a file of R"}
JSON = re.compile(rb'\{\s*["}]|\[\s*[{\["]')
BINARY = re.compile(rb"\0\0|[\x01-\x08\x0e-\x19\x1c-\x1f]")


def what_else(start: bytes) -> str:
    """What a file is that a download has left, where that tells the remedy; "" for anything else. start: 200 bytes."""
    start = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS instead of the file; `git lfs pull` gets it"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, perhaps of a failed download"
    return ""


def no_table(start: bytes, encoding: str) -> str:
    """What a file of text or bytes is that is no table, "" where it may be one. start: 200 bytes. encoding: as a text."""
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if JSON.match(text):
        return "JSON"
    if found := [name for magic, name in OTHER_TEXT.items() if text.startswith(magic)]:
        return found[0]
    # zeros at the end are those of a cut file; single ones may be the ends of lines (find -print0)
    binary = b"\0" in start and BINARY.search(start.rstrip(b"\0")) and encoding == "utf-8-sig"
    return "a binary file" if binary else ""
