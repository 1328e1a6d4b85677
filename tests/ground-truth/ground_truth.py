"""What was used and what it costs, from a raw trace: one event after another, in fractions, with no sums kept beside.

The ground truth that answers of the agent must agree with to the unit (SPEC 2.3). It shares no code with the agent: it
is another program in another language, and knows time zones by the rule of the European Union alone.

    ground_truth.py TRACE CARDS ANSWER...

TRACE: JSON lines, one a receipt, or an event by itself (a correction, or one that a sink delivered). CARDS: a JSON list of rate cards. ANSWER: what the agent answered, with
`asked` beside. Prints every difference; exit code 1 when there is one. With --report FILE writes what was compared.
"""

import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone
from fractions import Fraction

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DIVISOR = {
    "compute": 3600 * 10**6,
    "storage": 10**9 * 730 * 3600 * 10**6,
    "signing": 10**6,
}
FIELDS = ["runs_started", "steps_executed", "step_us", "bytes_in", "bytes_out", "approval_decisions",
          "receipts_emitted", "storage_byte_us"]
PRICE = {"compute": "compute_hour", "storage": "storage_gb_month", "signing": "signing_million"}


def micros(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def last_sunday(year, month):
    day = datetime(year, month, 31, 1, tzinfo=timezone.utc)
    while day.weekday() != 6:
        day -= timedelta(days=1)
    return day


def berlin_offset(us):
    moment = EPOCH + timedelta(microseconds=us)
    summer = last_sunday(moment.year, 3) <= moment < last_sunday(moment.year, 10)
    return (7200 if summer else 3600) * 10**6


def days(begin, end, zone):
    """Begins of the days of a zone in a period, and its end."""
    offset = berlin_offset if zone == "Europe/Berlin" else (lambda us: 0)
    edges, at = [begin], begin
    while True:
        # A quarter of an hour at a time: slow, and plain.
        at += 900 * 10**6
        if at >= end:
            return edges + [end]
        if (at + offset(at)) % (86400 * 10**6) == 0:
            edges.append(at)


def events(trace):
    """(time, labels, what, count, quantity, bytes in, bytes out) of each event."""
    for line in trace:
        labels = (line["workflow"], line["env"], line["actor"])
        t, read, written = line["t"], line.get("bytes_in", 0), line.get("bytes_out", 0)
        if "event" in line:
            yield t, labels, line["event"], line["count"], line["quantity"], read, written
            continue
        if line["fact"] == "run_allowed":
            yield t, labels, "run_started", 1, 1, 0, 0
        if line["fact"] == "step_finished":
            yield t, labels, "step_executed", 1, line["claimed_us"], read, written
        if line["fact"] == "approval":
            yield t, labels, "approval_decision", 1, 1, 0, 0
        yield t, labels, "receipt_emitted", 1, 1, 0, 0
        yield t, labels, "storage_bytes_written", 1, line["stored"], 0, 0


def used(all_events, begin, end, now):
    """Usage of a period by labels."""
    end_of_storage = min(end, max(now, begin))
    out = {}
    for t, labels, what, count, quantity, read, written in all_events:
        if t >= end:
            continue
        row = out.setdefault(labels, dict.fromkeys(FIELDS, 0))
        if what == "storage_bytes_written" and t < end_of_storage:
            row["storage_byte_us"] += quantity * (end_of_storage - max(t, begin))
        if t < begin:
            continue
        if what == "run_started":
            row["runs_started"] += count
        elif what == "step_executed":
            row["steps_executed"] += count
            row["step_us"] += quantity
            row["bytes_in"] += read
            row["bytes_out"] += written
        elif what == "approval_decision":
            row["approval_decisions"] += count
        elif what == "receipt_emitted":
            row["receipts_emitted"] += count
    return out


def half_even(f):
    whole = f.numerator // f.denominator
    rest = f - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2):
        return whole + 1
    return whole


def card_of(cards, at):
    def effective(card):
        return micros(datetime.fromisoformat(card["effective_from"].replace("Z", "+00:00")))

    known = [c for c in cards if effective(c) <= at]
    return max(known, key=lambda c: c["version"], default=None)


def costs(all_events, cards, begin, end, now):
    """Exact cost by (bucket, workflow, env, card)."""
    edges = {begin, end}
    for card in cards:
        at = micros(datetime.fromisoformat(card["effective_from"].replace("Z", "+00:00")))
        if begin < at < end:
            edges.add(at)
    edges = sorted(edges)
    out = {}
    for a, b in zip(edges, edges[1:]):
        card = card_of(cards, a)
        for (workflow, env, _), u in used(all_events, a, b, now).items():
            for bucket, quantity in [
                ("compute", u["step_us"]),
                ("storage", u["storage_byte_us"]),
                ("signing", u["receipts_emitted"]),
            ]:
                if quantity:
                    key = (bucket, workflow, env, card and card["version"])
                    price = card[PRICE[bucket]] if card else 0
                    q, exact = out.get(key, (0, Fraction(0)))
                    out[key] = (q + quantity, exact + Fraction(quantity * price, DIVISOR[bucket]))
    return out


def main():
    args = sys.argv[1:]
    report = None
    if args[0] == "--report":
        report, args = args[1], args[2:]
    trace_bytes = open(args[0], "rb").read()
    trace = [json.loads(line) for line in trace_bytes.splitlines()]
    cards = json.load(open(args[1]))
    all_events = list(events(trace))
    wrong, compared = [], []

    def same(what, ours, truth):
        compared.append({"what": what, "truth": str(truth)})
        if ours != truth:
            wrong.append(f"{what}: the agent says {ours}, the trace {truth}")

    for name in args[2:]:
        answer = json.load(open(name))
        begin, end, now = answer["range"]["from_us"], answer["range"]["to_us"], answer["as_of_us"]
        if "breakdown" in answer:
            truth = {}
            for (workflow, env, _), u in used(all_events, begin, end, now).items():
                row = truth.setdefault((workflow, env), {})
                for k, v in u.items():
                    row[k] = row.get(k, 0) + v
            truth = {k: v for k, v in truth.items() if any(v.values())}
            ours = {(r["workflow_type"], r["env"]): r for r in answer["breakdown"]}
            same(f"{name} rows", sorted(ours), sorted(truth))
            for key in set(truth) & set(ours):
                for field, value in truth[key].items():
                    same(f"{name} {key} {field}", int(ours[key][field]), value)
            if answer.get("steps"):
                edges = days(begin, end, answer["range"]["time_zone"])
                same(f"{name} days", [s["from_us"] for s in answer["steps"]] + [end], edges)
                for step, (a, b) in zip(answer["steps"], zip(edges, edges[1:])):
                    rows = used(all_events, a, b, now).values()
                    for field in ["runs_started", "step_us", "receipts_emitted", "storage_byte_us"]:
                        total = sum(r[field] for r in rows)
                        same(f"{name} day {a} {field}", int(step["totals"][field]), total)
        else:
            truth = costs(all_events, cards, begin, end, now)
            ours = {(r["bucket"], r["workflow_type"], r["env"], r["rate_card"]): r for r in answer["rows"]}
            same(f"{name} rows", sorted(ours, key=str), sorted(truth, key=str))
            grand = 0
            for bucket in DIVISOR:
                keys = [k for k in ours if k[0] == bucket]
                total = half_even(sum((truth[k][1] for k in keys), Fraction(0)))
                same(f"{name} {bucket}", answer["totals"][bucket], total)
                same(f"{name} {bucket} rows add up", sum(ours[k]["amount"] for k in keys), total)
                if answer.get("steps"):
                    steps = sum(s[bucket] for s in answer["steps"])
                    same(f"{name} {bucket} steps add up", steps, total)
                grand += total
                for k in keys:
                    same(f"{name} {k} quantity", int(ours[k]["quantity"]), truth[k][0])
                    if abs(ours[k]["amount"] - truth[k][1]) >= 1:
                        wrong.append(f"{name} {k}: amount {ours[k]['amount']}, exactly {float(truth[k][1])}")
            same(f"{name} total", answer["totals"]["total"], grand)
    if report:
        digest = hashlib.sha256(trace_bytes).hexdigest()
        json.dump({"type": "conductor/ground-truth/v1", "trace_sha256": digest, "events": len(all_events),
                   "rate_cards": cards, "compared": compared, "differences": wrong}, open(report, "w"), indent=1)
    print("\n".join(wrong[:50]) or f"{len(compared)} figures of {len(all_events)} events agree")
    sys.exit(1 if wrong else 0)


main()
