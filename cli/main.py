"""`alibroker`: the commands."""

from __future__ import annotations

import click

from alibroker.cli.backup import backup, restore
from alibroker.cli.check import check
from alibroker.cli.demo import demo
from alibroker.cli.orphans import orphans
from alibroker.cli.records import records
from alibroker.cli.replicas import replicas
from alibroker.cli.run import run
from alibroker.cli.spend import compare
from alibroker.conformance.command import conformance


@click.group()
@click.version_option(package_name="alibroker", message="%(prog)s %(version)s")
def main() -> None:
    """Open Service Broker for Alibaba Cloud.

    `run` and `demo` try it without an account. The others are for operators of a broker in
    production, which gunicorn runs, started where gunicorn.conf.py lies.
    """


main.add_command(backup)
main.add_command(restore)
main.add_command(records)
main.add_command(orphans)
main.add_command(replicas)
main.add_command(check)
main.add_command(compare)
main.add_command(run)
main.add_command(demo)
main.add_command(conformance)

if __name__ == "__main__":
    main()
