"""Makes one Markdown page out of the records of a run."""

import statistics
from collections import Counter

# In the order of preference: the floor of a setting is that of the best protocol that it offers.
FLOORS = ("raw PCP MAP", "raw NAT-PMP address + map", "raw SSDP + GET + 2 SOAP")
HEADINGS = {
    "default": "miniupnpd, default",
    "upnp, 5351 refused": "UPnP only, 5351 refused",
    "upnp, 5351 silent": "UPnP only, 5351 silent",
    "pcp dropped": "PCP v2 dropped, NAT-PMP on (simulated)",
    "nothing, refused": "nothing, refused: to `unavailable`",
    "nothing, silent": "nothing, silent: to `unavailable`",
}


def number(value):
    """About three digits."""
    if value == 0 or value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def median(values):
    return statistics.median(values)


def p90(values):
    """The value below which 90 % lie, by linear interpolation, as in stats.rs."""
    return statistics.quantiles(values, n=10, method="inclusive")[8] if len(values) > 1 else values[0]


def merge(records):
    """Makes one record out of the same record of several processes."""
    values = [record["value"]["median"] for record in records]
    value = {**records[0]["value"], "median": median(values), "p90": p90(values)}
    reason = next((record["reason"] for record in records if "reason" in record), None)
    merged = {**records[0], "value": value, "n": len(records), "failures": sum(r["failures"] for r in records)}
    return {**merged, "reason": reason} if reason else merged


def rows(lines):
    """A Markdown table; the first line is its head."""
    head, *body = lines
    rule = [":---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *body])


def cell(record, cap):
    if record is None or record.get("skipped"):
        return "-"
    if record.get("median_ms") is None:
        return f"> {cap:g} s" if record["capped"] else "fails"
    text = f"{number(record['median_ms'])} / {number(record['p90_ms'])}"
    lost = record["failures"] + record["capped"]
    return f"{text} ({lost} of {lost + record['n']} fail)" if lost else text


def ratio(record, other):
    if not record or not other or not record.get("median_ms") or not other.get("median_ms"):
        return "-"
    return f"{number(record['median_ms'] / other['median_ms'])} x"


def best(records, kinds):
    timed = [record for record in records if record["kind"] in kinds and record.get("median_ms") is not None]
    # Who fails now and then has no time to compare with.
    timed = [record for record in timed if record["failures"] + record["capped"] == 0]
    return min(timed, key=lambda record: record["median_ms"], default=None)


def floor(by_name):
    """The floor of a setting."""
    return next((by_name[name] for name in FLOORS if by_name.get(name, {}).get("median_ms") is not None), None)


def contest(results):
    """Who maps how fast in which setting."""
    records = [record for record in results["records"] if record["row"] == "map"]
    settings = list(dict.fromkeys(record["setting"] for record in records))
    names = list(dict.fromkeys(record["library"] for record in records))
    order = {"portlease": 0, "library": 1, "process": 2, "floor": 3}
    kinds = {record["library"]: record["kind"] for record in records}
    names.sort(key=lambda name: (order[kinds[name]], name))
    table = {setting: {r["library"]: r for r in records if r["setting"] == setting} for setting in settings}

    head = ["ms, median / p90"] + [HEADINGS.get(setting, setting) for setting in settings]
    body = [[name] + [cell(table[setting].get(name), results["cap"]) for setting in settings] for name in names]
    to_floor, to_best = ["**portlease / floor**"], ["**portlease / best peer**"]
    for setting in settings:
        here = table[setting]
        to_floor.append(ratio(here.get("portlease"), floor(here)))
        peer = best(here.values(), ("library", "process"))
        text = ratio(here.get("portlease"), peer)
        to_best.append(
            f"{text} ({peer['library']})" if peer else "alone" if best(here.values(), ("portlease",)) else "-"
        )
    return rows([head, *body, to_floor, to_best])


def languages(results):
    """What each language costs, beside plain Rust, with the first of what is loaded and the first of what is weighed."""
    names = list(dict.fromkeys(r["library"] for r in results["records"] if r["row"].startswith("language ")))

    def first(row, name):
        found = (
            r for r in results["records"] if r["row"] == f"language {row}" and r["library"] == name and r.get("value")
        )
        return next(found, None)

    def timed(row, name):
        mine, rust = first(row, name), first(row, "Rust")
        if not mine:
            return ["-", "-"]
        value = mine["value"]
        compared = f"{number(value['median'] / rust['value']['median'])} x" if rust else "-"
        return [f"{number(value['median'])} / {number(value['p90'])}", compared]

    def noted(row, name):
        mine = first(row, name)
        return f"{number(mine['value']['median'])} ({mine['setting']})" if mine else "-"

    body = [
        [name, *timed("snapshot", name), *timed("map + stop", name), noted("load", name), noted("size", name)]
        for name in names
    ]
    head = ["language", "snapshot of a lease, ns", "to Rust", "map + stop, µs", "to Rust", "load, ms", "size, KiB"]
    return rows([head, *body]) if body else ""


def others(results):
    """All that is neither a contest nor a language's own time."""
    body = []
    for record in results["records"]:
        value = record.get("value")
        if value and record["row"] in ("language load", "language size"):
            record = {**record, "row": f"{record['library']}: {record['row'].removeprefix('language ')}"}
        if value and not record["row"].startswith("language "):
            p90 = number(value["p90"]) if value.get("p90") is not None else ""
            failures = f", {record['failures']} failed" if record["failures"] else ""
            setting = record["setting"] + (f", by {record['protocol']}" if record.get("protocol") else "")
            body.append(
                [record["row"], setting + failures, number(value["median"]), p90, value["unit"], str(record["n"])]
            )
    return rows([["what", "setting", "median", "p90", "unit", "n"], *body]) if body else ""


def owner(results, setting, port):
    """Whose port it is: the client with the nearest first port below."""
    clients = [r for r in results["records"] if r["setting"] == setting and r.get("first_port", port + 1) <= port]
    return max(clients, key=lambda record: record["first_port"], default={"library": f"nobody ({port})"})["library"]


def notes(results):
    lines = []
    idle = {}
    for record in results["records"]:
        if record.get("skipped"):
            idle.setdefault((record["setting"], record["reason"]), []).append(record["library"])
    for (setting, reason), libraries in idle.items():
        lines.append(f"{setting}: not run, {reason}: {', '.join(libraries)}")
    for record in results["records"]:
        if record["row"] == "left on the router":
            owners = Counter(owner(results, record["setting"], port) for port in record["ports"])
            left = ", ".join(f"{count} of {name}" for name, count in owners.items())
            lines.append(f"{record['setting']}: mappings left on the router: {left}")
        elif record.get("skipped"):
            continue
        elif record["failures"]:
            lines.append(
                f"{record['setting']}: {record['library']}: {record['failures']} failed: {record.get('reason')}"
            )
        elif record["row"] == "map" and record["n"] + record["capped"] < results["count"]:
            answered = f"; answer: {record['reason']}" if record.get("reason") else ""
            lines.append(
                f"{record['setting']}: {record['library']}: slow, so only {record['n'] + record['capped']} runs{answered}"
            )
        elif record["row"] == "map" and record["library"] == "portlease" and record.get("protocol"):
            lines.append(f"{record['setting']}: portlease mapped by {record['protocol']}")
    return "\n".join(f"- {line}" for line in lines)


def broken(results):
    """What portlease failed at."""
    return [
        f"{record['row']}, {record['setting']}, {record['library']}: {record.get('reason') or 'no answer'}"
        for record in results["records"]
        if record.get("kind") == "portlease" and (record["failures"] or record.get("capped"))
    ]


def markdown(results):
    around = results["surroundings"]
    peers = ", ".join(f"{name} {version}" for name, version in around["peers"].items())
    parts = [
        "# Benchmarks",
        f"{around['date']}, commit {around['commit']}, {around['cpu']}, Linux {around['kernel']}, {around['rust']}; "
        f"load average {around['load_before']:.2f} before, {around.get('load_after', 0):.2f} after.\n{peers}."
        + "".join(f"\n{name}: {version}." for name, version in around.get("languages", {}).items()),
        f"Times in ms, medians and p90 of {results['count']} after one that does not count, everybody in turns. From the call to a "
        "mapping in hand; processes with their start, libraries without. In the columns named nothing, to the answer that "
        "there is none.",
    ]
    if any(record["row"] == "map" for record in results["records"]):
        parts.append(contest(results))
    parts += [part for part in (languages(results), others(results)) if part]
    if said := notes(results):
        parts.append("Notes\n\n" + said)
    return "\n\n".join(parts) + "\n"
