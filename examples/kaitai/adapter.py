"""The adapter around reading.py (spec/conformance.md, chapter 4), in the form of a session: `python adapter.py`."""

from __future__ import annotations

import json
import sys
from typing import Any

from reading import PROFILES, RejectedError, read

_DESCRIPTION = {
    "implementation": "kvc.ksy",
    "version": "1",
    "language": "Kaitai Struct",
    "operations": ["read"],
    "profiles": ["auto", *PROFILES],
    "behaviours": {"trailing-bytes": "mentions"},
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What is said of one case."""
    profile = request["profile"]
    if request["op"] != "read":
        return {"result": "unsupported", "reason": f"no operation {request['op']}"}
    if profile not in _DESCRIPTION["profiles"]:
        return {"result": "unsupported", "reason": f"no profile {profile}"}
    limit = request["arguments"].get("text_bytes_max")
    text_bytes_max = None if limit is None else int(limit)
    try:
        view = read(request["input"], profile=profile, name=request["name"], text_bytes_max=text_bytes_max)
    except RejectedError as error:
        said = {"category": error.category, "clause": error.clause, "field": error.field, "message": str(error)}
        return {"result": "reject", **said}
    except OSError as error:
        return {"result": "error", "message": str(error)}
    return {"result": "accept", "view": view}


def main() -> int:
    """Answers until it is told to stop; everything that is no request ends it with a traceback, as a crash."""
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "stop":
            break
        said = _DESCRIPTION if request["cmd"] == "start" else {"seq": request["seq"], **answer(request)}
        print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
