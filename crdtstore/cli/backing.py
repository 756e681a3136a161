"""The commands backup and restore."""

import argparse
from dataclasses import asdict
from pathlib import Path

from crdtstore.cli.asking import client_of
from crdtstore.cli.client import RequestFailed
from crdtstore.cli.tables import print_json, print_table, show_bytes
from crdtstore.replica.backups import (
    Manifest,
    check_backup,
    new_file,
    restore_backup,
    write_directory_backup,
)


def add_backup_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what backup takes besides the address of a server."""
    parser.add_argument("file", help="the file to make; it must not exist")
    parser.add_argument(
        "--data", metavar="DIRECTORY", help="back up this directory, whose replica is stopped"
    )


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what restore takes."""
    parser.add_argument("file", help="a backup")
    parser.add_argument("directory", help="the data directory to make; absent, or empty")
    parser.add_argument(
        "--alone", action="store_true", help="there is no peer to wait for: show all it holds"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def run_backup(arguments: argparse.Namespace) -> int:
    """Back up a running server, or the data directory of a stopped one."""
    path = Path(arguments.file)
    if arguments.data is not None:
        if arguments.url:
            raise RequestFailed("give --data for a stopped replica or --url for a running one")
        manifest = write_directory_backup(arguments.data, path)
    else:
        client = client_of(arguments)
        with new_file(path) as file:
            client.download("/v1/backup", file)
            file.flush()
            manifest = check_backup(file.name).manifest
    if arguments.json:
        print_json(asdict(manifest))
    else:
        size_bytes = path.stat().st_size
        _show(manifest, f"{arguments.file}  {show_bytes(size_bytes)}")
    return 0


def run_restore(arguments: argparse.Namespace) -> int:
    """Make a data directory of a backup."""
    manifest = restore_backup(arguments.file, arguments.directory, alone=arguments.alone)
    if arguments.json:
        print_json(asdict(manifest))
        return 0
    _show(manifest, f"{arguments.directory}  from {arguments.file}")
    print(
        f"start it with: crdtstore serve --name {manifest.name} --data {arguments.directory} "
        "--peer ...; it takes a new origin, fetches what came after the backup, and can be read "
        "when it has erased whom it was to erase since"
    )
    return 0


def _show(manifest: Manifest, title: str) -> None:
    rows = [
        ("taken", manifest.taken_at),
        ("replica", manifest.name),
        ("space", manifest.space),
        ("origin", manifest.origin),
        ("profiles", f"{manifest.profiles:,}"),
        ("digest", manifest.digest),
    ]
    print_table(("BACKUP", "OF"), rows, title)
