"""What a LaTeX run would stop at, found without LaTeX: braces, environments, columns, letters, missing files."""

import re
from pathlib import Path

SPECIAL = re.compile(r"(?<!\\)[#_^~]")


def without_comments(text: str) -> str:
    return re.sub(r"(?<!\\)%.*", "", text)


def problems(text: str, folder: Path | None = None) -> list[str]:
    """What is wrong with a document or a part of one; files are looked for below ``folder``."""
    found = [f"not ASCII: {letter}" for letter in sorted(set(text)) if ord(letter) > 126]
    bare = without_comments(text)
    if SPECIAL.search(re.sub(r"\\(input|includegraphics)(\[[^]]*\])?\{[^}]*\}|\$[^$]*\$", "", bare)):
        found.append("a special letter that is not escaped")
    depth = 0
    for letter in re.sub(r"\\[{}]", "", bare):
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            found.append("a brace is closed that was not opened")
            break
    if depth > 0:
        found.append("a brace is not closed")
    if len(re.findall(r"(?<!\\)\$", bare)) % 2:
        found.append("a formula is not closed")
    open_ones: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", bare):
        if what == "begin":
            open_ones.append(name)
        elif not open_ones or open_ones.pop() != name:
            found.append(f"{name} is ended out of turn")
    found += [f"{name} is not ended" for name in open_ones]
    for kind, columns, body in re.findall(
        r"\\begin\{(tabular|longtable)\}\{((?:[^{}]|\{[^{}]*\})*)\}(.*?)\\end\{\1\}", bare, re.DOTALL
    ):
        wanted = len(re.sub(r"\{[^{}]*\}", "", columns))
        rules = r"\\(toprule|midrule|bottomrule|endhead|endfoot|caption\{[^}]*\})"
        for row in re.split(r"\\\\", re.sub(rules, "", body)):
            if row.strip() and len(re.split(r"(?<!\\)&", row)) != wanted:
                found.append(f"a row of a {kind} has not {wanted} cells: {row.strip()[:60]}")
            if row.strip().startswith("["):
                found.append("a row that begins with a bracket is taken for a length")
    if folder is not None:
        for name in re.findall(r"\\input\{([^}]*)\}", bare):
            found += [] if (folder / f"{name}.tex").is_file() else [f"{name}.tex is missing"]
        for name in re.findall(r"\\includegraphics(?:\[[^]]*\])?\{([^}]*)\}", bare):
            found += [] if (folder / name).is_file() else [f"{name} is missing"]
    return found
