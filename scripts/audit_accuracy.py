"""How well maskcls-audit finds the photographs of the study's data, held against the map that comes with maskcls.

    maskcls-audit data.root=FOLDER hydra.run.dir=AUDIT
    python scripts/audit_accuracy.py AUDIT --out SHEETS

FOLDER is the public data set, or splits of it. The audit never sees the map, which was derived from names, bytes and
stricter matches. SHEETS gets two pictures: worst.png, links that join two photographs of the map, the surest first, and
hardest.png, links within one, the least sure first. Where the map is wrong, too, eyes have to tell.
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audit", type=Path, help="run directory of maskcls-audit")
    parser.add_argument("--out", type=Path, help="folder for the sheets")
    args = parser.parse_args()
    config = yaml.safe_load((args.audit / "config.yaml").read_text(encoding="utf-8"))
    index = index_folder(Path(config["data"]["root"]))
    photographs = published_groups(index)
    if photographs is None:
        parser.error(f"{index.root} is not the public data set, which alone has a map")
    # files of one colour show no photograph
    blank = set(json.loads((args.audit / "audit.json").read_text(encoding="utf-8"))["bad_files"]["single_colour"])
    known = {path: photograph.group for path, photograph in photographs.items() if path not in blank}
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
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def agreement(link: Row) -> float:
    """Correlation of the aligned pixels; files with the same bytes agree wholly."""
    return float(link["agreement"] or 1)


def markdown(
    known: Mapping[str, str], found: Mapping[str, str], links: Sequence[Row], wrong: Sequence[Row], right: Sequence[Row]
) -> str:
    """The table."""
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
    files = defaultdict(set)
    for path, group in groups.items():
        files[group].add(path)
    return {group: frozenset(paths) for group, paths in files.items()}


def share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}, {100 * part / max(1, whole):.2f} %"


def draw(index: Index, links: Sequence[Row], path: Path, title: str) -> None:
    """Both pictures of each link side by side, four links in a row."""
    names = [(link, name) for link in links for name in (link["first"], link["second"])]
    captions = [f"{Path(name).parent.name} {Path(name).stem}\n{agreement(link):.2f}" for link, name in names]
    sample_grid([decode_image(index.root / name) for _, name in names], captions, path, title, columns=8)


if __name__ == "__main__":
    main()
