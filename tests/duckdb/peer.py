"""Peers of the metering bench: SQLite over the same rollup table, DuckDB over the raw events as Parquet.

    peer.py FOLDER FROM_DAY TO_DAY TENANT

FOLDER holds days.csv (tenant, day, workflow, env, actor, nine sums) and events.csv (tenant, time in us, workflow, env,
actor, event, count, quantity). Says `ready`, then answers each line `sqlite` or `duckdb` with microseconds, measured in
this process around the query and the fetching of its rows, and a digest of what it found.
"""

import csv
import os
import sqlite3
import sys
import time

import duckdb

folder, first, last, tenant = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
DAY = 86400 * 10**6

lite = sqlite3.connect(os.path.join(folder, "rollups.sqlite"))
sums = ["runs", "steps", "step_us", "bytes_in", "bytes_out", "approvals", "receipts", "evidence", "stored"]
lite.execute(
    f"CREATE TABLE day (tenant TEXT, day INT, workflow TEXT, env TEXT, actor TEXT, {', '.join(s + ' INT' for s in sums)},"
    " PRIMARY KEY (tenant, day, workflow, env, actor)) WITHOUT ROWID"
)
with open(os.path.join(folder, "days.csv")) as f:
    lite.executemany(f"INSERT INTO day VALUES ({','.join('?' * (5 + len(sums)))})", csv.reader(f))
lite.commit()
lite.execute("ANALYZE")
LITE = f"""SELECT workflow, env, {', '.join(f'SUM({s})' for s in sums)} FROM day
    WHERE tenant = ? AND day >= ? AND day < ? GROUP BY workflow, env ORDER BY workflow, env"""

duck = duckdb.connect()
parquet = os.path.join(folder, "events.parquet")
duck.execute(
    f"COPY (SELECT * FROM read_csv('{os.path.join(folder, 'events.csv')}', header=false, columns={{"
    "'tenant':'VARCHAR','t':'BIGINT','workflow':'VARCHAR','env':'VARCHAR','actor':'VARCHAR','event':'VARCHAR',"
    f"'n':'BIGINT','q':'BIGINT'}})) TO '{parquet}' (FORMAT parquet)"
)
os.remove(os.path.join(folder, "events.csv"))
DUCK = f"""SELECT workflow, env,
      SUM(CASE WHEN event = 'run_started' THEN n END), SUM(CASE WHEN event = 'step_executed' THEN n END),
      SUM(CASE WHEN event = 'step_executed' THEN q END), SUM(CASE WHEN event = 'receipt_emitted' THEN n END),
      SUM(CASE WHEN event = 'storage_bytes_written' THEN q END)
    FROM read_parquet('{parquet}') WHERE tenant = ? AND t >= ? AND t < ? GROUP BY workflow, env ORDER BY workflow, env"""

print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter_ns()
    if line.strip() == "sqlite":
        rows = lite.execute(LITE, (tenant, first, last)).fetchall()
        found = [sum(r[i] or 0 for r in rows) for i in (3, 4, 8, 10)]
    else:
        rows = duck.execute(DUCK, (tenant, first * DAY, last * DAY)).fetchall()
        found = [sum(r[i] or 0 for r in rows) for i in (3, 4, 5, 6)]
    took = (time.perf_counter_ns() - begun) / 1000
    print(took, len(rows), *found, flush=True)
