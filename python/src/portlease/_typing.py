"""What of `typing` some versions of Python do not have yet: annotations must be readable by every one of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self as Self
    from typing_extensions import TypedDict as TypedDict
    from typing_extensions import Unpack as Unpack
elif sys.version_info >= (3, 12):
    from typing import Self, TypedDict, Unpack
else:
    try:
        # Before 3.12 pydantic reads no other TypedDict; it has brought this with it.
        from typing_extensions import Self, TypedDict, Unpack
    except ImportError:
        from typing import Any
        from typing import TypedDict as TypedDict

        Self = Any

        class Unpack:
            """Stands for `**config: Unpack[Config]`, which is then `**config: Config`."""

            def __class_getitem__(cls, of: object) -> object:
                return of
