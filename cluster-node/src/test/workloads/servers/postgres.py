"""PostgreSQL under pgbench. At the end every transaction must be there and the balances must agree."""

import os
import pwd
import subprocess

from driver import Driver

CLIENTS, TRANSACTIONS = 4, 150

driver = Driver()
account = pwd.getpwnam("postgres")
os.makedirs(driver.path("home"))
os.chown(driver.path("home"), account.pw_uid, account.pw_gid)
home = driver.path("home")
# Debian keeps each version's programs in a directory of its own.
binaries = sorted(os.listdir("/usr/lib/postgresql"), key=int)[-1]
programs = f"/usr/lib/postgresql/{binaries}/bin/"
who = {"user": "postgres", "group": "postgres", "extra_groups": [], "env": {"PATH": programs + ":/usr/bin:/bin", "LC_ALL": "C", "PGHOST": home, "HOME": home}}
driver.run([programs + "initdb", "-D", home + "/data", "-A", "trust", "-U", "postgres", "--no-sync"], **who)
settings = ["listen_addresses=", f"unix_socket_directories={home}", "shared_buffers=32MB", "max_connections=20", "autovacuum_naptime=1s", "fsync=off"]
driver.start("postgres", [programs + "postgres", "-D", home + "/data"] + [word for each in settings for word in ("-c", each)], **who)
driver.wait_for("postgres", lambda: subprocess.call([programs + "pg_isready", "-q"], env=who["env"]) == 0)
driver.run([programs + "pgbench", "-U", "postgres", "-i", "-q", "-s", "2", "postgres"], **who)


def ask(query):
    return driver.run([programs + "psql", "-U", "postgres", "-At", "-c", query, "postgres"], **who).strip()


def bench():
    command = [programs + "pgbench", "-U", "postgres", "-n", "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS), "postgres"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=home, check=False, **who)
    wanted = f"number of transactions actually processed: {CLIENTS * TRANSACTIONS}/{CLIENTS * TRANSACTIONS}"
    driver.check(result.returncode == 0 and wanted in result.stdout, f"pgbench: {result.returncode}, {result.stdout} {result.stderr}")
    driver.answered(CLIENTS * TRANSACTIONS)


def compare():
    count = ask("select count(*) from pgbench_history")
    driver.check(int(count) == driver.done, f"{count} transactions are on record, and {driver.done} were confirmed")
    sums = [ask(f"select sum({column}) from pgbench_{table}") for column, table in
            (("delta", "history"), ("abalance", "accounts"), ("tbalance", "tellers"), ("bbalance", "branches"))]
    driver.check(len(set(sums)) == 1, f"the balances differ: {sums}")


driver.client(bench)
driver.serve(compare)
