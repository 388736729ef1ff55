"""Takes turns, as tests/bench/languages.py describes. Arguments: GATEWAY PCP_PORT SSDP_ADDRESS PORT; in the lab none."""

import sys
from itertools import repeat
from time import perf_counter_ns

import portlease


def read(lease, reads):
    begin = perf_counter_ns()
    for _ in repeat(None, reads):
        now = lease.snapshot()
    elapsed = perf_counter_ns() - begin
    assert now.active
    return elapsed


def map_and_stop(mapper, port):
    begin = perf_counter_ns()
    lease = mapper.map(port)
    lease.ready(5)
    lease.stop()
    return perf_counter_ns() - begin


def open_port(port):
    begin = perf_counter_ns()
    lease = portlease.open(port)
    now = lease.snapshot()
    elapsed = perf_counter_ns() - begin
    lease.stop()
    return f"{elapsed} {now.external} {now.protocol}"


if len(sys.argv) > 1:
    gateway, pcp_port, ssdp_address, port = sys.argv[1:]
    mapper = portlease.Mapper(gateway=gateway, pcp_port=int(pcp_port), ssdp_address=ssdp_address, protocols=["pcp"])
    lease = mapper.map(int(port))
    lease.ready(5)

for line in sys.stdin:
    verb, number = line.split()
    try:
        match verb:
            case "snapshot":
                answer = read(lease, int(number))
            case "map":
                answer = map_and_stop(mapper, int(number))
            case "open":
                answer = open_port(int(number))
    except portlease.PortLeaseError as error:
        answer = f"error {error.kind}: {error}"
    print(answer, flush=True)

if len(sys.argv) > 1:
    mapper.stop()
