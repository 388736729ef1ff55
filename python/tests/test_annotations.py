"""Annotations can be read at run time, and `help` tells what there is to know."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest

import portlease
from portlease import _portlease, aio, asgi, testing


def functions() -> Iterator[Callable[..., Any]]:
    """Every public function, method and property of every module."""
    for module in (portlease, aio, asgi, testing):
        for name in module.__all__:
            exported = getattr(module, name)
            if inspect.isfunction(exported):
                yield exported
            elif inspect.isclass(exported) and exported.__module__.startswith("portlease"):
                for member, value in inspect.getmembers(exported):
                    found = value.fget if isinstance(value, property) else value
                    if inspect.isfunction(found) and not member.startswith("_"):
                        yield found
    yield from (portlease.Mapper.__init__, aio.Mapper.__init__, testing.Gateway.__init__)


def test_the_annotations_of_every_function_and_every_option_can_be_read() -> None:
    read = [get_type_hints(function) for function in functions()]
    assert len(read) > 60
    assert "return" in get_type_hints(portlease.open)
    for options in (portlease.Config, testing.GatewayOptions, testing.Faults, testing.GatewaySettings):
        assert len(get_type_hints(options)) >= 3


def test_pydantic_validates_the_arguments_of_every_function() -> None:
    pydantic = pytest.importorskip("pydantic")
    for function in functions():
        pydantic.TypeAdapter(function)
    with pytest.raises(pydantic.ValidationError, match="udp"):
        pydantic.validate_call(portlease.open)(9001, "sctp")  # type: ignore[call-overload]
    with pytest.raises(pydantic.ValidationError, match="pcp_port"):
        pydantic.TypeAdapter(portlease.Config).validate_python({"pcp_port": "none"})


def test_annotations_can_be_read_without_any_other_package() -> None:
    code = """
import sys
sys.modules["typing_extensions"] = None
import portlease.testing, typing
assert "ttl" in str(typing.get_type_hints(portlease.Config))
print(typing.get_type_hints(portlease.open)["config"])
typing.get_type_hints(portlease.testing.Gateway.wait_for)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "Config" in done.stdout


def test_help_lists_every_setting_with_its_default() -> None:
    text = pydoc.render_doc(portlease.Config, renderer=pydoc.plaintext)
    for name in _portlease.SETTINGS:
        assert f" {name}\n" in text
    assert text.count("Default") >= len(_portlease.SETTINGS)
