#!/usr/bin/env python3
"""Runs the benchmarks in the lab and makes one table of them.

    tests/bench/bench.py [--quick] [--count N] [--only WORD ...] [--no-build]

Root or user namespaces, Linux, and the packages of tests/lab/install. Everything happens in namespaces of its own.
"""

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import artifacts
import languages
import report
from common import CHECKOUT, HERE, HOST, LAB, PROGRAM, RESULTS, ROUTER, TARGET, fail, run

# Set in the process that already runs in namespaces of its own.
INSIDE = "PORTLEASE_BENCH_INSIDE"
# 1000 leases are 1000 open ports on the simulated gateway.
OPEN_FILES = 8192


class Lab:
    """The router and its daemon; one lab for the whole run."""

    def __init__(self):
        run([LAB, "up"])
        # By default Linux sends about one refusal a second to each host, and every other measurement would differ.
        self.router("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")

    def router(self, *command):
        return run([LAB, "exec", "router", *command])

    def daemon(self, mode, min_lifetime="120"):
        """Restarts miniupnpd, with no mapping left; None: no daemon."""
        run([LAB, "daemon", "stop"])
        self.router("nft", "flush chain inet filter mute")
        for chain in ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"):
            self.router("nft", f"flush chain inet filter {chain}")
        for leases in Path(os.environ["STATES"]).glob("*/*.leases"):
            leases.unlink()
        if mode:
            run([LAB, "daemon", "start"], env={**os.environ, "MODE": mode, "MIN": min_lifetime})

    def drop(self, ports):
        """The router drops these ports of its own in silence."""
        self.router("nft", f"add rule inet filter mute meta l4proto {{ tcp, udp }} th dport {{ {ports} }} drop")

    def left_over(self):
        """Internal ports to which the router still forwards."""
        rules = self.router("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
        return [int(port) for port in re.findall(rf"dnat (?:ip )?to {re.escape(HOST)}:(\d+)", rules)]


def bench(*arguments):
    """One subcommand, as the host in the LAN; answers with its records."""
    return [json.loads(line) for line in run([LAB, "exec", "lan", PROGRAM, *arguments]).splitlines()]


def contest(options, setting, offers, left_over=list, others=lambda *_: []):
    """Everybody maps in one setting; `others` are those that are no part of the Rust program."""
    arguments = ["map", "--setting", setting, "--count", options.count, "--cap", options.cap]
    arguments += ["--gateway", ROUTER, "--local", HOST]
    if offers:
        arguments += ["--offers", ",".join(offers)]
    records = bench(*arguments) + others(options, setting, offers)
    left = left_over()
    if left:
        records.append({"row": "left on the router", "setting": setting, "ports": left})
    return records


def default(lab, options):
    lab.daemon("default")
    return contest(options, "default", ["pcp", "nat-pmp", "upnp"], lab.left_over, languages.contest)


def upnp_refused(lab, options):
    lab.daemon("upnp")
    return contest(options, "upnp, 5351 refused", ["upnp"], lab.left_over, languages.contest)


def upnp_silent(lab, options):
    lab.daemon("upnp")
    lab.drop("5351")
    return contest(options, "upnp, 5351 silent", ["upnp"], lab.left_over)


def pcp_dropped(lab, options):
    """The simulated gateway in the router's place: clients find it, with its fixed port, by their default route."""
    lab.daemon(None)
    command = [LAB, "exec", "router", PROGRAM, "gateway", "--bind", ROUTER, "--external-bind", "127.0.0.1"]
    command += ["--pcp-port", "5351", "--pcp-silent", "--no-upnp"]
    pipe = subprocess.PIPE
    with subprocess.Popen([str(word) for word in command], stdin=pipe, stdout=pipe, text=True) as gateway:
        if not gateway.stdout.readline():
            fail("the simulated gateway did not start")
        records = contest(options, "pcp dropped", ["nat-pmp"])
        gateway.stdin.close()
    return records


def nothing_refused(lab, options):
    lab.daemon(None)
    return contest(options, "nothing, refused", [])


def nothing_silent(lab, options):
    lab.daemon(None)
    lab.drop("5351, 1900, 5000")
    return contest(options, "nothing, silent", [])


def pinholes(lab, options):
    """The aim is that a pinhole takes at most 1.5 times as long as a mapping; like every time it is not judged."""
    lab.daemon("default")
    records = bench("pinholes", "--count", options.count)
    medians = {(record["row"], record["setting"]): record["value"]["median"] for record in records}
    for setting in dict.fromkeys(record["setting"] for record in records):
        ratio = medians["time to a pinhole", setting] / medians["time to a mapping", setting]
        record = {"row": "pinhole / mapping", "library": "portlease", "setting": setting, "kind": "portlease"}
        records.append({**record, "value": {"median": ratio, "unit": "x"}, "n": 1, "failures": 0})
    return records


def many_leases(lab, options):
    """Each run is a process of its own, because memory that was used once stays."""
    times = 2 if options.quick else 5
    records = []
    for protocol in (None, "nat-pmp", "upnp"):
        choice = ["--protocol", protocol] if protocol else []
        runs = [bench("leases", "--count", "1000", *choice) for _ in range(times)]
        records += [report.merge(list(same)) for same in zip(*runs)]
    return records


def snapshot(lab, options):
    return bench("snapshot", "--count", options.count)


def idle(lab, options):
    return bench("idle", "--seconds", "5" if options.quick else "60") + packets(lab, options)


# At the defaults: a renewal each half hour, and a check each five minutes however many leases there are.
AN_HOUR = {"renewals": 2, "checks": 12}


def packets(lab, options):
    """What the router gets in an hour, counted in a shorter time in which renewals, or checks, come once a second."""
    lab.daemon("default", min_lifetime="2")
    records = []
    for what, an_hour in AN_HOUR.items():
        for protocol in ("pcp", "nat-pmp", "upnp"):
            times, sent = counted(what, protocol, "5" if options.quick else "30")
            value = {"median": sent / times * an_hour, "unit": "packets/h"}
            record = {"row": "packets to the router", "library": "portlease", "setting": what, "protocol": protocol}
            records.append({**record, "kind": "portlease", "value": value, "n": 1, "failures": 0})
    return records


def counted(what, protocol, seconds):
    """How often it happened, and how many packets were sent meanwhile."""
    command = [LAB, "exec", "lan", PROGRAM, "packets", what, "--protocol", protocol, "--seconds", seconds]
    pipe = subprocess.PIPE
    with subprocess.Popen([str(word) for word in command], stdin=pipe, stdout=pipe, text=True) as program:
        if not program.stdout.readline():
            fail(f"nothing is mapped by {protocol}")
        run([LAB, "count", "start"])
        print(file=program.stdin, flush=True)
        times = json.loads(program.stdout.readline() or fail(f"the mapping by {protocol} was lost"))
        sent = int(run([LAB, "count", "read"]))
        print(file=program.stdin, flush=True)
    return times, sent


def size(lab, options):
    """What linking portlease adds to a Rust program; `languages` weighs what the others get."""
    empty, linked = ((TARGET / "release" / name).stat().st_size for name in ("size-empty", "size-portlease"))
    record = {"library": "portlease", "setting": "stripped release", "kind": "portlease", "n": 1, "failures": 0}
    names = {"program with portlease": linked, "empty program": empty, "portlease in a program": linked - empty}
    return [{**record, "row": row, "value": {"median": weight / 1024, "unit": "KiB"}} for row, weight in names.items()]


SECTIONS = {
    "default": default,
    "upnp-refused": upnp_refused,
    "upnp-silent": upnp_silent,
    "pcp-dropped": pcp_dropped,
    "nothing-refused": nothing_refused,
    "nothing-silent": nothing_silent,
    "pinholes": pinholes,
    "leases": many_leases,
    "snapshot": snapshot,
    "idle": idle,
    "size": size,
    "languages": languages.languages,
}
# The languages that a section needs built.
NEEDS = {"default": ["Python", "Node"], "upnp-refused": ["Python", "Node"], "languages": list(artifacts.LANGUAGES)}


def build(sections):
    command = ["cargo", "build", "--release", "--bins", "--manifest-path", HERE / "Cargo.toml", "--target-dir", TARGET]
    if subprocess.run([str(word) for word in command]).returncode != 0:
        fail("the benchmarks do not build")
    wanted = {language for section in sections for language in NEEDS.get(section, [])}
    artifacts.build([language for language in artifacts.LANGUAGES if language in wanted])


def used_languages(sections):
    """Versions of compilers and interpreters, and of the peers from their registries."""
    wanted = dict.fromkeys(language for section in sections for language in NEEDS.get(section, []))
    plan = artifacts.plan(wanted)
    packages = [package for built in plan.values() for package in built.get("packages", {}).items()]
    return {name: built["version"] for name, built in plan.items() if "version" in built}, dict(packages)


def surroundings(sections):
    """What a reader must know to judge the numbers."""

    def first(command, fallback):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else fallback

    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    lock = (HERE / "Cargo.lock").read_text()
    crates = {}
    for name in ("igd-next", "natpmp", "crab_nat", "portmapper"):
        versions = re.findall(rf'name = "{name}"\nversion = "([^"]+)"', lock)
        # portmapper brings an older igd-next of its own.
        crates[name] = max(versions, key=lambda version: [int(part) for part in version.split(".")])
    packages = {}
    for name in ("miniupnpd-nftables", "miniupnpc", "natpmpc"):
        packages[name] = first(["dpkg-query", "-W", "-f", "${Version}", name], "unknown")
    compilers, registries = used_languages(sections)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "commit": first(["git", "-C", str(CHECKOUT), "rev-parse", "--short", "HEAD"], "not committed"),
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}",
        "rust": first(["rustc", "--version"], "unknown"),
        "load_before": os.getloadavg()[0],
        "peers": {**crates, **packages, **registries},
        "languages": compilers,
    }


def private(arguments):
    """Runs this program again in namespaces of its own."""
    environment = {**os.environ, INSIDE: "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if os.geteuid() != 0:
        environment["USERNS"] = "1"
    os.execve(LAB, [str(LAB), "private", sys.executable, str(HERE / "bench.py"), "--no-build", *arguments], environment)


def arguments():
    parser = argparse.ArgumentParser(description="Benchmarks of portlease and its peers in the lab.")
    parser.add_argument("--quick", action="store_true", help="few repetitions and short waits, for trying out")
    parser.add_argument("--count", type=int, help="repetitions; default 20, with --quick 3")
    parser.add_argument(
        "--cap", type=float, help="seconds after which a client that hangs is given up; default 20, with --quick 5"
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help="of " + ", ".join(SECTIONS))
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    options = parser.parse_args()
    options.count = options.count or (3 if options.quick else 20)
    options.cap = options.cap or (5 if options.quick else 20)
    return options


def main():
    options = arguments()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if INSIDE not in os.environ:
        if not options.no_build:
            build(options.only or SECTIONS)
        private(sys.argv[1:])
    if not PROGRAM.exists():
        fail(f"no program at {PROGRAM}; leave --no-build out")

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
    results = {
        "surroundings": surroundings(options.only or SECTIONS),
        "count": options.count,
        "cap": options.cap,
        "records": [],
    }
    lab = Lab()
    for name in options.only or SECTIONS:
        begin = time.monotonic()
        print(f"bench: {name} ...", end=" ", file=sys.stderr, flush=True)
        results["records"] += SECTIONS[name](lab, options)
        print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
    results["surroundings"]["load_after"] = os.getloadavg()[0]

    table = report.markdown(results)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "results.md").write_text(table)
    print(table)
    # No time is ever judged here, but a number for something that failed means nothing.
    broken = report.broken(results)
    if broken:
        fail("portlease failed: " + "; ".join(broken))


if __name__ == "__main__":
    main()
