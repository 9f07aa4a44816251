"""The KVC cache file: reader, writer and store. The specification is in spec/kvc.md and spec/saving.md."""

from kvformat.errors import (
    BadMagicError,
    BadSectionError,
    Category,
    CleanupFailure,
    IdentityMismatchError,
    InvalidFieldError,
    KvcError,
    KvformatError,
    LimitError,
    Problem,
    SaveError,
    TruncatedError,
    UnsupportedProfileError,
    UnsupportedVersionError,
)
from kvformat.eviction import within_bytes
from kvformat.listing import DamagedEntry, Listing, StoredEntry
from kvformat.model import Entry, Extension, Header, Reason, Region, ToolEntry
from kvformat.options import Options, SaveResult, Strategy
from kvformat.reader import KvcReader, VerifyReport, open_kvc, verify
from kvformat.recovery import RecoveryReport
from kvformat.rules import Limits
from kvformat.store import Store
from kvformat.temp_names import TempKind

__version__ = "0.1.0"

__all__ = [
    "BadMagicError",
    "BadSectionError",
    "Category",
    "CleanupFailure",
    "DamagedEntry",
    "Entry",
    "Extension",
    "Header",
    "IdentityMismatchError",
    "InvalidFieldError",
    "KvcError",
    "KvcReader",
    "KvformatError",
    "LimitError",
    "Limits",
    "Listing",
    "Options",
    "Problem",
    "Reason",
    "RecoveryReport",
    "Region",
    "SaveError",
    "SaveResult",
    "Store",
    "StoredEntry",
    "Strategy",
    "TempKind",
    "ToolEntry",
    "TruncatedError",
    "UnsupportedProfileError",
    "UnsupportedVersionError",
    "VerifyReport",
    "open_kvc",
    "verify",
    "within_bytes",
]
