"""miniupnpc (PyPI) takes turns as turns.py does in the lab, used as its own example does."""

import sys
from time import perf_counter_ns

import miniupnpc


def open_port(port):
    begin = perf_counter_ns()
    upnp = miniupnpc.UPnP()
    upnp.discoverdelay = 200
    upnp.discover()
    upnp.selectigd()
    address = upnp.externalipaddress()
    upnp.addportmapping(port, "UDP", upnp.lanaddr, port, "bench", "", 3600)
    elapsed = perf_counter_ns() - begin
    try:
        upnp.deleteportmapping(port, "UDP")
    except Exception as error:
        print(f"miniupnpc: cannot release: {error}", file=sys.stderr)
    return f"{elapsed} {address}:{port} upnp"


for line in sys.stdin:
    verb, number = line.split()
    try:
        answer = open_port(int(number))
    except Exception as error:  # of no class of its own
        answer = f"error {error}"
    print(answer, flush=True)
