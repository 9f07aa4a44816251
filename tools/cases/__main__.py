"""`python -m tools.cases` writes spec/cases; `--check` fails where what is committed differs."""

from __future__ import annotations

import argparse
import sys
from itertools import chain

from tools.cases.suite import DIRECTORY, all_cases, committed, differences, lost, mistakes, registry


def main(arguments: list[str]) -> int:
    """Writes, or checks; 1 where something is wrong or differs."""
    parser = argparse.ArgumentParser(prog="python -m tools.cases", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    options = parser.parse_args(arguments)
    cases = all_cases()
    withdrawn = registry("suite").get("withdrawn", {})
    wrong = list(mistakes(cases, registry("flags"), registry("behaviours"), withdrawn))
    if wrong:
        print("\n".join(sorted(wrong)))
        return 1
    wanted = dict(chain.from_iterable(case.files().items() for case in cases))
    found = committed(DIRECTORY)
    wrong = list(differences(wanted, found) if options.check else lost(wanted, found, withdrawn))
    if wrong:
        print("\n".join(wrong))
        if options.check:
            print("run `python -m tools.cases` and look at what it changes")
        return 1
    if not options.check:
        for path in found.keys() - wanted.keys():
            (DIRECTORY / path).unlink()
        for path, data in wanted.items():
            (DIRECTORY / path).parent.mkdir(exist_ok=True)
            (DIRECTORY / path).write_bytes(data)
    print(f"{len(cases)} cases, {len(wanted)} files, {sum(map(len, wanted.values())):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
