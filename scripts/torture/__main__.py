"""Inject faults on purpose: kills, signals, full disks, damaged and hostile files, many processes at once.

    python scripts/torture                             # all campaigns, an hour or two on two cores
    python scripts/torture kill signals --scale 0.1    # two of them, a tenth of their cases

Each campaign draws its cases from --seed. It runs maskcls as users do, in separate processes, and compares what is left
with what must be left. A table on standard output counts cases and failures. Standard error describes each failure.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python scripts/torture` looks within the package only

from torture import agreement, commands, concurrency, damage, full, hostile, images, kill, predictions, signals
from torture.campaign import Campaign, CampaignError, Options, Outcome
from torture.processes import Processes

CAMPAIGNS: dict[str, Campaign] = {
    "kill": kill.campaign,
    "signals": signals.campaign,
    "full": full.campaign,
    "damage": damage.campaign,
    "images": images.campaign,
    "commands": commands.campaign,
    "hostile": hostile.campaign,
    "concurrency": concurrency.campaign,
    "oddities": agreement.campaign,
    "predictions": predictions.campaign,
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaigns", nargs="*", help=f"any of {', '.join(CAMPAIGNS)}; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the cases to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, help="JSON file for the results, written after each campaign")
    arguments = parser.parse_args()
    if unknown := set(arguments.campaigns) - set(CAMPAIGNS):
        parser.error(f"no campaign {', '.join(sorted(unknown))}; expected any of {', '.join(CAMPAIGNS)}")
    return arguments


def run(name: str, arguments: argparse.Namespace) -> Outcome:
    """Run a campaign in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix=f"torture_{name}_") as folder:
        os.environ["MASKCLS_CACHE"] = str(Path(folder) / "default_cache")
        options = Options(Path(folder), arguments.seed, arguments.scale, arguments.jobs)
        try:
            return CAMPAIGNS[name](options, Processes(options.folder))
        except CampaignError as error:
            return Outcome(0, [str(error)], "")


def main() -> int:
    """Run the campaigns that the command line names; return 1 if a case failed."""
    arguments = parse_arguments()
    report = {}
    print("| campaign | cases | failed | minutes | remarks |\n| --- | --- | --- | --- | --- |", flush=True)
    for name in arguments.campaigns or CAMPAIGNS:
        start = time.monotonic()
        outcome = run(name, arguments)
        minutes = (time.monotonic() - start) / 60
        print(f"| {name} | {outcome.cases} | {len(outcome.failures)} | {minutes:.1f} | {outcome.remarks} |", flush=True)
        for failure in outcome.failures:
            print(re.sub(r"\s+", " ", f"    {failure}"), file=sys.stderr, flush=True)
        report[name] = {**outcome._asdict(), "minutes": minutes, "seed": arguments.seed}
        if arguments.out:
            arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    return int(any(entry["failures"] for entry in report.values()))


if __name__ == "__main__":
    sys.exit(main())
