"""What a user of an installed wheel does first, on a simulated router of its own: maps a port, stops, and finds it released.

Prints the platform. Nothing of this needs Rust: there is none on the PATH.
"""
import platform
import shutil
import sys
from pathlib import Path

import portlease
from portlease.testing import Gateway

assert shutil.which("cargo") is None, "cargo is on the PATH"
assert Path(portlease.__file__).parents[1].samefile(sys.argv[1]), portlease.__file__
with Gateway() as gateway:
    with portlease.open(9001, **gateway.config()) as lease:
        assert lease.external == ("192.0.1.1", 9001), lease.external
        assert len(gateway.mappings) == 1
        assert lease.stop() == "released"
    assert gateway.mappings == []
print(f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}")
