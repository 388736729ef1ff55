"""The names of this package are those of tests/surface.json: none is missing, and none is extra."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import platform
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import portlease
from portlease import _config, _portlease, aio, asgi, testing

SURFACE = json.loads((Path(__file__).resolve().parents[2] / "tests" / "surface.json").read_text())

# What Python names otherwise: a mapper is started by its constructor, and `port` is short for `internal_port`.
RENAMED = {"__init__": "start", "port": "internal_port"}
# What only some languages have: the way back from a lease to its mapper, readers of events, what `contextlib` calls,
# and the switches for `logging` and SIGTERM.
PYTHON_ONLY = {
    "module": {"enable_logging", "disable_logging", "exit_on_sigterm"},
    "mapper": {"events"},
    "lease": {"mapper"},
}
CLOSE = {portlease: {"close"}, aio: {"aclose"}}


def public(of: Any) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def same(listed: list[str], ours: Any) -> None:
    ours = list(ours)
    assert sorted(listed) == sorted(ours), f"missing {set(listed) - set(ours)}, extra {set(ours) - set(listed)}"


@pytest.mark.parametrize(
    ("listed", "enumeration"),
    [
        ("kinds", portlease.ErrorKind),
        ("states", portlease.LeaseState),
        ("events", portlease.EventKind),
        ("protocols_of_mappings", portlease.Protocol),
        ("transports", portlease.Transport),
        ("families", portlease.AddressFamily),
        ("nat_classes", portlease.NatClass),
        ("address_classes", portlease.AddressClass),
        ("releases", portlease.Release),
        ("log_levels", portlease.LogLevel),
    ],
)
def test_every_stable_string_is_a_member_and_no_other(listed: str, enumeration: Any) -> None:
    same(SURFACE[listed], [str(member) for member in enumeration])


def test_the_protocols_that_can_be_asked_for_are_those_of_the_type() -> None:
    same(SURFACE["protocols"], get_args(get_args(_config.ProtocolName)[1]))
    same(SURFACE["transports"], get_args(get_args(_config.TransportName)[1]))
    same(SURFACE["families"], get_args(get_args(_config.FamilyName)[1]))


def test_every_kind_has_a_class() -> None:
    own = [portlease.PortLeaseError, portlease.InvalidTypeError]
    classes = [
        each
        for name in portlease.__all__
        if inspect.isclass(each := getattr(portlease, name)) and issubclass(each, Exception) and each not in own
    ]
    same(SURFACE["kinds"], [str(each.kind) for each in classes])
    same(SURFACE["error"], {"kind", *public(portlease.PortLeaseError)} - public(Exception))


def test_settings_and_requests() -> None:
    same(SURFACE["config"], portlease.Config.__annotations__)
    same(SURFACE["config"], _portlease.SETTINGS)
    for face in (portlease, aio):
        for method in (face.Mapper.map, face.Mapper.ensure):
            parameters = [name for name in inspect.signature(method).parameters if name != "self"]
            same(SURFACE["request"], [RENAMED.get(name, name) for name in parameters])
        parameters = [name for name in inspect.signature(face.Mapper.map_both).parameters if name != "self"]
        same(SURFACE["request"], [RENAMED.get(name, name) for name in parameters] + ["transport"])
        # Its one lease has what the mapper has.
        settings = [name for name in SURFACE["request"] if name in portlease.Config.__annotations__]
        parameters = [name for name in inspect.signature(face.open).parameters if name not in ("timeout", "config")]
        same(SURFACE["request"], [RENAMED.get(name, name) for name in parameters] + settings)


@pytest.mark.parametrize(
    ("listed", "view"),
    [
        ("lease_snapshot", portlease.LeaseSnapshot),
        ("mapper_snapshot", portlease.MapperSnapshot),
        ("event", portlease.Event),
        ("gateway_report", portlease.GatewayReport),
        ("protocol_report", portlease.ProtocolReport),
        ("error", portlease.ErrorReport),
        ("error_detail", portlease.ErrorDetail),
        ("table_entry", portlease.TableEntry),
    ],
)
def test_snapshots_events_and_reports(listed: str, view: Any) -> None:
    same(SURFACE[listed], public(view) - {"asdict"})


@pytest.mark.parametrize("face", [portlease, aio])
def test_handles_have_the_methods_and_python_a_few_more(face: Any) -> None:
    methods = SURFACE["methods"]
    same(methods["mapper"], (public(face.Mapper) | {"start"}) - PYTHON_ONLY["mapper"] - CLOSE[face])
    same(methods["lease"], public(face.Lease) - PYTHON_ONLY["lease"] - CLOSE[face])
    same(methods["lease"], public(face.OpenPort) - PYTHON_ONLY["lease"] - CLOSE[face])
    assert public(face.Lease) >= PYTHON_ONLY["lease"] | CLOSE[face], "a name of PYTHON_ONLY is no longer there"


def test_the_module_has_these_functions_and_no_others() -> None:
    functions = {name for name in portlease.__all__ if inspect.isfunction(getattr(portlease, name))}
    same(SURFACE["methods"]["module"], functions - PYTHON_ONLY["module"])
    assert functions >= PYTHON_ONLY["module"]
    same(SURFACE["methods"]["module"], [name for name in aio.__all__ if inspect.isfunction(getattr(aio, name))])


def test_the_options_of_the_simulated_router_are_those_of_rust() -> None:
    settings, faults = map(json.loads, _portlease.gateway_defaults())
    same(list(faults), testing.Faults.__annotations__)
    same(list({**settings, **faults}), testing.GatewayOptions.__annotations__)


def test_all_that_is_exported_is_there_and_documented() -> None:
    for module in (portlease, aio, asgi, testing):
        for name in module.__all__:
            exported = getattr(module, name)
            alias = not hasattr(exported, "__module__") or exported.__module__ == "typing"
            assert exported.__doc__ or name.startswith("__") or alias, name


def test_the_metadata_names_this_version_of_python_and_where_the_project_is() -> None:
    metadata = importlib.metadata.metadata("portlease")
    classifiers = metadata.get_all("Classifier") or []
    assert "Programming Language :: Python :: {}.{}".format(*sys.version_info) in classifiers
    assert f"Programming Language :: Python :: Implementation :: {platform.python_implementation()}" in classifiers
    urls = dict(entry.split(", ") for entry in metadata.get_all("Project-URL") or [])
    assert urls.keys() >= {"Homepage", "Documentation", "Repository", "Changelog", "Issues"}
