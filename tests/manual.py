"""The manual as tests see it: its pages, the commands in them, and their sentences.

python tests/manual.py      # the number of sentences and words of each page, the longest sentences first
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("flags", "commands", "recipes", "networks", "files", "exit_codes", "messages")
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]
WRITTEN = [p for p in PAGES if not (p.parent.name == "reference" and p.stem in GENERATED)]
SCHEMATIC = ("COMMAND", "NAME", "[COMMAND]", "[--flag=value", "]", "$(ARGS)", "…")  # words that stand for others


def title_of(page: Path) -> str:
    """The page's path, for ids of tests."""
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> list[str]:
    """What stands behind each `-m deep_cnn` of a page: continued lines joined, comments left out, and so are schemes."""
    found = re.findall(r"-m deep_cnn([^`\n|)]*)", re.sub(r" *\\\n *", " ", text))
    lines = [re.split(r" #|  | && |;| [>2]>?", line.strip())[0].strip(" .") for line in found]
    return list(dict.fromkeys(line for line in lines if not any(word in line.split() for word in SCHEMATIC)))


def bash_cells(text: str) -> list[str]:
    """The cells of a tutorial that run in bash, in order."""
    return re.findall(r"```\{code-cell\}\n(?::[^\n]*\n\n)?%%bash\n(.*?)```", text, re.DOTALL)


def prose(text: str) -> str:
    """The running text of a page: code, tables, comments, headings and lists' marks taken out."""
    text = re.sub(r"^---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *(```+|:::+).*?^ *\1 *$", "\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    kept = []
    for line in text.split("\n"):
        if re.match(r"(    |\|)", line) and not re.match(r" *[-*] ", line):
            kept.append("")  # code or a table ends the sentence before it
        elif re.match(r"#|\s*$", line):
            kept.append("")
        elif re.match(r"\s*([-*]|\d+\.) ", line):
            kept += ["", re.sub(r"\s*([-*]|\d+\.) ", "", line, count=1)]
        else:
            kept.append(line.strip())
    text = "\n".join(kept)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"(`+)(?:(?!\1).)+\1", "CODE", text)  # a name or a command is one word


def sentences(text: str) -> list[str]:
    """The sentences of a page; each item of a list is at least one."""
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", prose(text)) if block.strip()]
    parts = [part for block in blocks for part in re.split(r"(?<=[.!?])\**\s+(?=[A-Z0-9*(\"])", block)]
    return [part for part in parts if re.search(r"[A-Za-z]{2}", part.replace("CODE", ""))]


def words(sentence: str) -> int:
    """How many words it has."""
    return len(re.findall(r"[\w'%.+-]*\w[\w'%.+-]*", sentence))


def main() -> None:
    everything = []
    for page in WRITTEN:
        found = sentences(page.read_text(encoding="utf-8"))
        everything += [(words(sentence), title_of(page), sentence) for sentence in found]
        average = sum(map(words, found)) / max(len(found), 1)
        print(f"{title_of(page):<40} {len(found):>5} sentences, {average:.1f} words on average")
    print(f"all: {len(everything)} sentences, {sum(e[0] for e in everything) / len(everything):.1f} words on average")
    for count, page, sentence in sorted(everything, reverse=True)[:25]:
        print(f"{count:>4}  {page}: {sentence}")


if __name__ == "__main__":
    main()
