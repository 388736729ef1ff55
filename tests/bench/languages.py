"""What the languages cost: programs that take turns, each a process of its own in the lab's LAN.

A program reads a line and answers with one that begins with the nanoseconds it took, or with `error` and a text:

    snapshot READS   so many reads of the snapshot of a mapped lease
    map PORT         map, ready and stop on a mapper that runs
    open PORT        from the call to a mapping in hand, whose external address and port come second, and the protocol,
                     where it is known, third; it releases before it answers

It gets the simulated gateway's place and a local port as arguments; for `open`, which is for the lab, none.
"""

import json
import select
import subprocess
import time
from contextlib import contextmanager

import artifacts
import report
from common import HOST, LAB, PROGRAM, ROUTER, fail

# As in contest.rs: the pause between two attempts, who is slow and who hangs.
PAUSE = 0.15
SLOW, SLOW_ROUNDS, CAPPED_ROUNDS = 5, 5, 3
# How long a program may take to start, and for a batch.
PATIENCE = 60
# Seconds of reading before reading counts, so that compilers at run time have had their say.
WARM_UP, QUICK_WARM_UP = 3, 0.5
# A batch is to take about so long, in seconds, and has no more than so many reads.
BATCH, READS = 0.1, 200_000
# Mapping is quick and its time varies, so there are more samples of it; at most so many.
MAPS, MOST_MAPS = 25, 500
# In the lab, where those of Rust's contest begin at 20,000, and on the simulated gateway.
FIRST_PORT, PORTS_EACH = 40_000, 1000


class Failure(Exception):
    """A program said `error`, or ended."""


class Capped(Exception):
    """A program did not answer in time; it was ended."""


class Program:
    """A program that takes turns; begun when it is first asked. `port` is the first of those that are its own."""

    def __init__(self, command, directory, port):
        self.command = [str(word) for word in (LAB, "exec", "lan", *command)]
        self.directory = directory
        self.port = port
        self.process = None

    def ask(self, *words, patience=PATIENCE):
        """One turn; the words of the answer, of which the first are nanoseconds."""
        pipe = subprocess.PIPE
        if self.process is None:
            self.process = subprocess.Popen(self.command, bufsize=0, cwd=self.directory, stdin=pipe, stdout=pipe)
        try:
            self.process.stdin.write(f"{' '.join(map(str, words))}\n".encode())
        except BrokenPipeError:
            pass  # what it says, or does not, tells more
        if not select.select([self.process.stdout], [], [], patience)[0]:
            self.process.kill()
            self.close()
            raise Capped(f"no answer within {patience:g} s")
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise Failure(f"the program ended with status {self.close()}")
        if line.startswith("error "):
            raise Failure(line.removeprefix("error "))
        return int(line.split()[0]), *line.split()[1:]

    def close(self):
        """Its end; the status, 0 where it never began."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        with process:
            process.stdin.close()
            try:
                return process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                return "killed: it did not end by itself"


@contextmanager
def simulated():
    """The simulated gateway, for whoever is in the LAN's namespace; the arguments that tell of it."""
    command = [str(word) for word in (LAB, "exec", "lan", PROGRAM, "gateway")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as gateway:
        line = gateway.stdout.readline()
        if not line:
            fail("the simulated gateway did not start")
        place = json.loads(line)
        yield [place["gateway"], place["pcp_port"], place["ssdp_address"]]
        gateway.stdin.close()


def record(row, language, setting, samples=(), unit="", reason=None, **more):
    """One line of results about portlease in a language."""
    p90 = report.p90(samples) if len(samples) > 1 else None
    value = {"value": {"median": report.median(samples), "p90": p90, "unit": unit}} if samples else {}
    common = {"row": row, "library": language, "setting": setting, "kind": "portlease", "n": len(samples)}
    return {**common, "failures": int(reason is not None), "capped": 0, "reason": reason, **value, **more}


def in_turns(programs, rounds, turn):
    """Everybody in turns, each round begun by another one; who fails is out. Samples by name, and reasons by name."""
    samples, failed = {name: [] for name in programs}, {}
    names = list(programs)
    for number in range(rounds):
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            if name not in failed:
                try:
                    samples[name].append(turn(name, number))
                except (Failure, Capped) as error:
                    failed[name] = str(error)
    return samples, failed


def warm_up(program, seconds):
    """Reads until a compiler at run time has had its say; how many reads a batch then has."""
    reads, spent = 100, 0
    while spent < seconds:
        took = program.ask("snapshot", reads)[0] / 1e9
        spent += took
        reads = max(100, min(READS, int(BATCH * reads / took)))
    return reads


def crossing(programs, options):
    """What a snapshot and a mapping cost in each language."""
    records = []
    reads, failed = in_turns(
        programs, 1, lambda name, _: warm_up(programs[name], QUICK_WARM_UP if options.quick else WARM_UP)
    )
    able = {name: program for name, program in programs.items() if name not in failed}
    samples, out = in_turns(
        able, options.count, lambda name, _: programs[name].ask("snapshot", reads[name][0])[0] / reads[name][0]
    )
    failed |= out
    for name in programs:
        setting = f"{reads[name][0]} reads a batch" if reads[name] else "warming up"
        records.append(record("language snapshot", name, setting, samples.get(name, ()), "ns", failed.get(name)))

    maps = min(MAPS * options.count, MOST_MAPS)
    able = {name: program for name, program in able.items() if name not in failed}
    # The first half warms up.
    samples, failed = in_turns(
        able, 2 * maps, lambda name, number: able[name].ask("map", able[name].port + 1 + number)[0] / 1e3
    )
    setting = "PCP, simulated gateway, mapper running"
    return records + [
        record("language map + stop", name, setting, samples[name][maps:], "µs", failed.get(name)) for name in able
    ]


def loading(plan, options):
    """How long it takes to load the package, in a process that does nothing else; those of the peers beside it."""
    commands = {
        (name, what): [str(word) for word in command]
        for name, built in plan.items()
        for what, command in built.get("loads", {}).items()
    }

    def load(key, _):
        done = subprocess.run(commands[key], stdout=subprocess.PIPE, text=True, cwd=plan[key[0]].get("directory"))
        if done.returncode != 0:
            raise Failure(f"status {done.returncode}")
        return int(done.stdout) / 1e6

    samples, failed = in_turns(commands, options.count + 1, load)
    return [
        record(
            "language load",
            name,
            what,
            samples[name, what][1:],
            "ms",
            failed.get((name, what)),
            kind="portlease" if "portlease" in what else "library",
        )
        for name, what in commands
    ]


def missing(plan):
    """A line for each language that this machine has no tools for."""
    return [
        record("language", name, "languages", reason=built["missing"], failures=0, skipped=True)
        for name, built in plan.items()
        if "missing" in built
    ]


def languages(lab, options):
    plan = artifacts.plan(artifacts.LANGUAGES)
    commands = {"Rust": ([PROGRAM, "turns"], None)}
    commands |= {name: (built["command"], built.get("directory")) for name, built in plan.items() if "command" in built}
    with simulated() as place:
        programs = {
            name: Program([*command, *place, port], directory, port)
            for (name, (command, directory)), port in zip(commands.items(), range(10_000, 60_000, 2 * MOST_MAPS + 1))
        }
        records = crossing(programs, options)
        for name, program in programs.items():
            if status := program.close():
                records.append(record("language end", name, "standard input closed", reason=f"status {status}"))
    records += loading(plan, options) + missing(plan)
    for name, built in plan.items():
        records += [
            record("language size", name, what, [weight / 1024], "KiB")
            for what, weight in built.get("sizes", {}).items()
        ]
    return records


class Contestant:
    """One who maps in the lab, and what it has done so far; the rules are those of contest.rs."""

    def __init__(self, name, kind, program):
        self.name, self.kind, self.program = name, kind, program
        self.samples, self.failures, self.capped, self.slow = [], 0, 0, False
        self.reason = self.protocol = None

    def done(self, count):
        all = len(self.samples) + self.failures + self.capped
        return all >= count or self.capped >= CAPPED_ROUNDS or (self.slow and all >= SLOW_ROUNDS)

    def turn(self, number, cap):
        begin = time.monotonic()
        try:
            took, external, *protocol = self.program.ask("open", self.program.port + number, patience=cap)
            address, port = external.rsplit(":", 1)
            if not address or address == "0.0.0.0" or not 0 < int(port) < 65536:
                raise Failure(f"a mapping that is none: {external}")
        except Failure as failure:
            self.failures += number > 0
            self.reason = str(failure)
            self.slow |= time.monotonic() - begin > SLOW
        except Capped:
            self.capped += number > 0
            self.slow = True
        else:
            self.samples += [took / 1e6] if number > 0 else []
            self.protocol = protocol[0] if protocol else None
            self.slow |= took / 1e9 > SLOW
        time.sleep(PAUSE)

    def record(self, setting):
        times = {"median_ms": report.median(self.samples), "p90_ms": report.p90(self.samples)} if self.samples else {}
        return {
            "row": "map", "library": self.name, "setting": setting, "kind": self.kind, **times, "n": len(self.samples),
            "failures": self.failures, "capped": self.capped, "protocol": self.protocol, "reason": self.reason,
            "first_port": self.program.port,
        }  # fmt: skip


# Who maps in the lab, and what it speaks.
PYTHON_AND_NODE = {
    "portlease (Python)": ("Python", {"pcp", "nat-pmp", "upnp"}),
    "miniupnpc (PyPI)": ("Python", {"upnp"}),
    "portlease (Node)": ("Node", {"pcp", "nat-pmp", "upnp"}),
    "nat-api (npm)": ("Node", {"nat-pmp", "upnp"}),
    "nat-port-mapper-upnp (npm)": ("Node", {"upnp"}),
    "nat-port-mapper-nat-pmp (npm)": ("Node", {"nat-pmp"}),
}


def contest(options, setting, offers):
    """Python's and Node's clients map in the setting that the router is in."""
    plan = artifacts.plan(["Python", "Node"])
    records, contestants = [], []
    for number, (name, (language, speaks)) in enumerate(PYTHON_AND_NODE.items()):
        built = plan[language]
        kind = "portlease" if name.startswith("portlease") else "library"
        reason = built.get("missing") or (None if speaks & set(offers) else "speaks nothing that the router offers")
        if reason:
            skipped = {
                "row": "map",
                "library": name,
                "setting": setting,
                "kind": kind,
                "reason": reason,
                "skipped": True,
            }
            records.append({**skipped, "n": 0, "failures": 0, "capped": 0})
            continue
        command = built["command"] if kind == "portlease" else [*built["peers"][name], ROUTER, HOST]
        program = Program(command, built.get("directory"), FIRST_PORT + number * PORTS_EACH)
        contestants.append(Contestant(name, kind, program))
    for number in range(options.count + 1):
        first = number % max(1, len(contestants))
        for contestant in contestants[first:] + contestants[:first]:
            if not contestant.done(options.count):
                contestant.turn(number, options.cap)
    for contestant in contestants:
        contestant.program.close()
    return records + [contestant.record(setting) for contestant in contestants]
