"""Compare the groups that maskcls-audit finds in the study's data with the map of groups that comes with maskcls.

    maskcls-audit data.root=FOLDER hydra.run.dir=AUDIT
    python scripts/audit_accuracy.py AUDIT --out SHEETS

FOLDER is the public data set, or some of its splits. The audit never sees the map, which was derived from file names,
bytes and stricter matches. SHEETS gets two pictures. worst.png shows links that join two photographs of the map, those
with the highest agreement first. hardest.png shows links within one photograph, those with the lowest agreement first.
The map may be wrong as well; look at the pictures.
"""

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from maskcls.data.decode import decode_image
from maskcls.data.groups import published_groups
from maskcls.data.index import Index, index_folder
from maskcls.reporting.plots import sample_grid

# pairs on a sheet
PAIRS = 48

Row = Mapping[str, str]


def main() -> None:
    """Print the table, and draw the pictures if ``--out`` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audit", type=Path, help="run directory of maskcls-audit")
    parser.add_argument("--out", type=Path, help="folder for the sheets")
    args = parser.parse_args()
    config = yaml.safe_load((args.audit / "config.yaml").read_text(encoding="utf-8"))
    index = index_folder(Path(config["data"]["root"]))
    published = published_groups(index)
    if published is None:
        parser.error(f"{index.root} is not the public data set; no other data set has a map")
    # files of a single colour show no photograph
    blank = set(json.loads((args.audit / "audit.json").read_text(encoding="utf-8"))["bad_files"]["single_colour"])
    known = {path: entry.group for path, entry in published.items() if path not in blank}
    found = {row["path"]: row["group"] for row in read(args.audit / "groups.csv") if row["path"] in known}
    links = [link for link in read(args.audit / "links.csv") if link["first"] in known]
    wrong = [link for link in links if known[link["first"]] != known[link["second"]]]
    right = [link for link in links if known[link["first"]] == known[link["second"]]]
    print(markdown(known, found, links, wrong, right))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        by_agreement = {"worst": sorted(wrong, key=agreement, reverse=True), "hardest": sorted(right, key=agreement)}
        for name, chosen in by_agreement.items():
            if chosen:
                title = f"the {name} of {len(chosen):,} links"
                draw(index, chosen[:PAIRS], args.out / f"{name}.png", title)


def read(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def agreement(link: Row) -> float:
    """Correlation of the aligned pixels; 1 for files with the same bytes."""
    return float(link["agreement"] or 1)


def markdown(
    known: Mapping[str, str], found: Mapping[str, str], links: Sequence[Row], wrong: Sequence[Row], right: Sequence[Row]
) -> str:
    """The table.

    Args:
        known: the group of each file on the map.
        found: the group of each file in the audit.
        links: the pairs of files that the audit linked.
        wrong: links between two groups of the map.
        right: the other links.
    """
    linked = {link[end] for link in right for end in ("first", "second")}
    masked = [path for path in known if path.lower().startswith("validation/withmask/")]
    kinds = Counter(link["evidence"] for link in links)
    of_known, of_found = files_of(known), files_of(found)
    same = set(of_known.values()) & set(of_found.values())
    apart = [files for files in of_known.values() if len({found[path] for path in files}) > 1]
    beside = sum(len(files) - max(Counter(found[path] for path in files).values()) for files in apart)
    joined = [len({known[path] for path in files}) for files in of_found.values()]
    rows = [
        (
            "validation files WithMask linked to a file of their own photograph",
            share(sum(path in linked for path in masked), len(masked)),
        ),
        ("links", f"{len(links):,}: {', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common())}"),
        ("of these join two photographs of the map", share(len(wrong), len(links))),
        ("photographs of the map that the audit has with the same files", f"{len(same):,} of {len(of_known):,}"),
        ("photographs that it takes for several", f"{len(apart)}; {beside} files stand beside the largest part"),
        ("its groups that join several photographs", f"{sum(count > 1 for count in joined)}, of {max(joined)} at most"),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def files_of(groups: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The files of each group, from the group of each file."""
    files = defaultdict(set)
    for path, group in groups.items():
        files[group].add(path)
    return {group: frozenset(paths) for group, paths in files.items()}


def share(part: int, whole: int) -> str:
    """Count and percentage as text."""
    return f"{part:,} of {whole:,}, {100 * part / max(1, whole):.2f} %"


def draw(index: Index, links: Sequence[Row], path: Path, title: str) -> None:
    """Draw both pictures of each link side by side, four links in a row."""
    names = [(link, name) for link in links for name in (link["first"], link["second"])]
    captions = [f"{Path(name).parent.name} {Path(name).stem}\n{agreement(link):.2f}" for link, name in names]
    sample_grid([decode_image(index.root / name) for _, name in names], captions, path, title, columns=8)


if __name__ == "__main__":
    main()
