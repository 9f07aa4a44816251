"""Questions that every adapter answers alike, asked first: whoever fails them is broken (spec/conformance.md, 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kvformat.conform.answer import Accept, Claims, NoAnswer, Reject, Reply, Unsupported
from kvformat.conform.case import Operation
from kvformat.conform.question import Question
from kvformat.display import safe_lines
from kvformat.errors import KvformatError
from kvformat.profiles import AUTO, PROFILES

GOOD_NAME = "94dd9e08c129c785f7f256e82fbe0a30e6d1ae40.kv"
"""The SHA-1 of the text "Hi" (KVC-NAME-1)."""

NO_OPERATION = "no-such-operation"


class BrokenAdapterError(KvformatError):
    """Nothing that the adapter says counts."""


class Adapter(Protocol):
    """A program that answers, in whichever form."""

    def start(self) -> Claims | NoAnswer:
        """Starts it, and asks what it is. Raises StartError."""

    def ask(self, question: Question) -> Reply:
        """Asks once. Raises StartError."""

    def finish(self) -> str | None:
        """Ends it in good order; says what is wrong with how it ends."""

    def close(self) -> None:
        """Ends it at once."""


def good_file(profile: str) -> bytes:
    """The smallest entry that every reader of that profile accepts: two bytes of text, one of payload."""
    byte20 = 0 if profile == AUTO else PROFILES[profile].payload_abi
    head = b"KVC\x01\x04\x00\x00\x00" + b"\x01\x00\x00\x00" + bytes(8) + bytes((byte20, 0, 0, 0)) + bytes(16)
    return head + b"\x01" + bytes(7) + b"\x02\x00\x00\x00" + b"Hi" + b"P"


def smoke(adapter: Adapter, folder: Path) -> Claims:
    """What the adapter claims, after it has answered what every adapter can. Raises BrokenAdapterError, StartError."""
    claims = adapter.start()
    if isinstance(claims, NoAnswer):
        raise BrokenAdapterError(f"asked what it is (start): {_said(claims)}")
    if not claims.operations:
        raise BrokenAdapterError("it claims no operation, so that there is nothing to ask")
    profile = _profile(claims)
    if Operation.READ in claims.operations:
        _ask_pair(adapter, folder, profile)
    reply = adapter.ask(Question(NO_OPERATION, str(folder), profile))
    if not isinstance(reply.answer, Unsupported):
        raise BrokenAdapterError(
            f"asked for {NO_OPERATION}, which nobody has, it answers {describe(reply)}; expected unsupported"
        )
    wrong = adapter.finish()
    if wrong is not None:
        raise BrokenAdapterError(f"{wrong}; expected exit status 0 and no output")
    return claims


def _profile(claims: Claims) -> str:
    known = (AUTO, *PROFILES)
    claimed = [one for one in known if claims.profiles is None or one in claims.profiles]
    if not claimed:
        raise BrokenAdapterError(f"it claims no profile that is known; known are {', '.join(known)}")
    return claimed[0]


def _ask_pair(adapter: Adapter, folder: Path, profile: str) -> None:
    good, bad = folder / "good", folder / "bad"
    good.write_bytes(good_file(profile))
    bad.write_bytes(b"This is no KVC file, whatever its name says. It is long enough for a header.")
    for path, wanted, word in ((good, Accept, "accept"), (bad, Reject, "reject")):
        reply = adapter.ask(Question(Operation.READ, str(path), profile, GOOD_NAME, needs_view=True))
        if not isinstance(reply.answer, wanted):
            raise BrokenAdapterError(
                f"asked to read a file that every reader {word}s, it answers {describe(reply)}; expected {word}"
            )


def describe(reply: Reply) -> str:
    """An answer in a few words."""
    answer = reply.answer
    if isinstance(answer, NoAnswer):
        return _said(answer, reply.stderr)
    if isinstance(answer, Reject):
        return f"reject ({answer.category or 'without a category'}, {answer.message or 'without a message'})"
    if isinstance(answer, Accept):
        return "accept"
    if isinstance(answer, Unsupported):
        return f"unsupported ({answer.reason or 'without a reason'})"
    return f"error ({answer.message or 'without a message'})"


def _said(answer: NoAnswer, stderr: str = "") -> str:
    told = f"nothing ({answer.fault}: {answer.detail})"
    return told + (f"; standard error ends: {safe_lines(stderr.strip())}" if stderr.strip() else "")
