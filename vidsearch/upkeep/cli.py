"""Commands for whoever keeps an index: verify, repair, gc, delete, quarantine."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidsearch.cli import EXIT_PARTIAL, IndexOption, default_index
from vidsearch.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from vidsearch.upkeep.verify import Report

HOUR_S = 3600.0
DAY_H = 24.0
SHOWN = 20  # lines of a long list, for a person

IndexArgument = Annotated[Path | None, typer.Argument(help="Index folder. Without it: as for `query`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object in place of lines for a person.")]


class ListFormat(StrEnum):
    """How quarantined clips are printed."""

    table = "table"
    jsonl = "jsonl"


def verify(index: IndexArgument = None, json_output: JsonOption = False) -> None:
    """Read every file of an index and compare it with its hash; exit 3 where something is damaged."""
    from vidsearch.upkeep import verify as verifying

    root = _root(index)
    started = time.monotonic()
    report = verifying.verify(root)
    if json_output:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        _print_report(report, root, time.monotonic() - started)
    if not report.whole:
        sys.exit(EXIT_PARTIAL)


def _print_report(report: Report, root: Path, spent_s: float) -> None:
    from vidsearch.tables import visible

    about = f"version {report.version}: {report.rows:,} clips in {report.segments:,} segments"
    typer.echo(f"{about}; {report.hashed_bytes / 1e6:,.1f} MB hashed in {spent_s:,.1f} s")
    if report.planned >= 0:
        books = (
            f"{report.planned:,} clips planned: {report.indexed:,} indexed, {report.quarantined:,} quarantined, {report.pending:,} pending"
        )
        typer.echo(books)
    for fault in report.faults:
        typer.echo(f"{fault.what}: {visible(fault.detail)}" + (f" ({fault.rows:,} clips)" if fault.rows else ""))
    typer.echo("whole" if report.whole else f"damaged; mend it with: vidsearch repair {root}")


def repair(
    index: IndexArgument = None,
    drop: Annotated[bool, typer.Option("--drop", help="Give up segments of which nothing can be saved; `index` makes them anew.")] = False,
    rollback: Annotated[int | None, typer.Option("--rollback", help="Serve again what this older version held.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Write damaged segments anew from what is left of them; nothing is decoded."""
    from dataclasses import asdict

    from vidsearch.upkeep import repair as repairing

    root = _root(index)
    if rollback is not None:
        if drop:
            raise UsageError("--rollback and --drop exclude each other")
        committed = repairing.roll_back(root, rollback)
        typer.echo(f"version {committed.version} holds what version {rollback} held: {committed.rows:,} clips")
        return
    done = repairing.repair(root, drop=drop)
    if json_output:
        typer.echo(json.dumps(asdict(done)))
    else:
        for line in [*done.rewritten, *(f"{line} (dropped)" for line in done.dropped), *done.hopeless]:
            typer.echo(line)
        for version in done.removed_versions:
            typer.echo(f"version {version} was torn and is removed")
        if done.rewritten or done.dropped:
            typer.echo(f"version {done.version} is served; run `vidsearch index` on the same input to do again what was lost")
        elif not done.hopeless:
            typer.echo("nothing is damaged" if not done.removed_versions else f"version {done.version} is served")
    if done.hopeless:
        typer.echo("give up what cannot be saved with: vidsearch repair --drop", err=True)
        sys.exit(EXIT_PARTIAL)


def gc(
    index: IndexArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run/--delete", help="Only say what would go, or remove it.")] = True,
    grace: Annotated[float, typer.Option("--grace", min=0, help="Hours for which replaced and unfinished files are kept.")] = DAY_H,
    versions: Annotated[int, typer.Option("--versions", min=1, help="Newest versions kept however old.")] = 10,
    json_output: JsonOption = False,
) -> None:
    """Remove old versions, and files that no version needs."""
    from vidsearch.storage import garbage

    root = _root(index)
    act = garbage.find if dry_run else garbage.collect
    found = act(root, grace_s=grace * HOUR_S, versions=versions)
    size = sum(item.size_bytes for item in found)
    if json_output:
        listed = [{"path": item.path, "size_bytes": item.size_bytes, "reason": item.reason} for item in found]
        typer.echo(json.dumps({"removed": not dry_run, "size_bytes": size, "files": listed}))
        return
    for item in found[:SHOWN]:
        typer.echo(f"{item.size_bytes / 1e6:10,.1f} MB  {item.path}: {item.reason}")
    if len(found) > SHOWN:
        typer.echo(f"and {len(found) - SHOWN:,} more")
    typer.echo(f"{size / 1e6:,.1f} MB in {len(found):,} places " + ("would go; remove them with --delete" if dry_run else "removed"))


def delete(
    index: IndexOption = None,
    where: Annotated[str | None, typer.Option("--where", help="Of which clips, as in SQL: \"type = 'Gaming'\".")] = None,
    ids: Annotated[Path | None, typer.Option("--ids", help="A file of clip ids, one a line; - is stdin.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete clips: no query finds them, no later build indexes them again."""
    from vidsearch.engine import open_index
    from vidsearch.storage import manifest as manifests
    from vidsearch.upkeep import delete as deleting

    root = _root(index)
    names = None if ids is None else _names(ids)
    before = open_index(root)
    if where is not None and names is None:
        typer.echo(f"{sum(one.count for one in before.select(where)):,} of {len(before):,} clips pass", err=True)
    if not yes and not (sys.stdin.isatty() and typer.confirm("delete them?", err=True)):
        raise UsageError("nothing was deleted; confirm with --yes")
    number = deleting.delete(root, where=where, clip_ids=names)
    after = manifests.read(root)
    typer.echo(f"{number:,} clips deleted; {after.rows:,} are left (version {after.version})")
    if number:
        typer.echo(
            f"taken back by `vidsearch repair --rollback {before.manifest.version}`, until their data goes with `vidsearch compact` "
            "and then `vidsearch gc --delete`",
            err=True,
        )


quarantine = typer.Typer(help="Look through what could not be indexed, and have it tried again.", invoke_without_command=True)


@quarantine.callback()
def _quarantine(context: typer.Context, index: IndexOption = None) -> None:
    if context.invoked_subcommand is None:
        list_quarantine(index)
    elif index is not None:
        raise UsageError(f"--index goes after the subcommand: vidsearch quarantine {context.invoked_subcommand} --index {index}")


@quarantine.command("list")
def list_quarantine(
    index: IndexOption = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Of one reason only, such as SHORT_DECODE.")] = None,
    output: Annotated[ListFormat, typer.Option("--format", help="For a person, or for a program.")] = ListFormat.table,
) -> None:
    """List what could not be indexed, and why."""
    from vidsearch.engine import open_index
    from vidsearch.upkeep import quarantined

    corpus = open_index(_root(index))
    if output == ListFormat.jsonl:
        for table in quarantined.entries(corpus, reason=reason):
            for entry in table.to_pylist():
                typer.echo(json.dumps(entry, ensure_ascii=False, default=str))
    else:
        counts = quarantined.reasons(corpus)
        for name, number in counts.items():
            typer.echo(f"{number:>10,}  {name}")
        shown = [entry for table in quarantined.entries(corpus, reason=reason) for entry in table.slice(0, SHOWN).to_pylist()][:SHOWN]
        for entry in shown:
            typer.echo(_line(entry))
        total = sum(counts.values()) if reason is None else counts.get(reason, 0)
        if total > len(shown):
            typer.echo(f"and {total - len(shown):,} more; all of them with --format jsonl")
        if not total:
            typer.echo("nothing is quarantined" + ("" if reason is None else f" as {reason}"))


@quarantine.command("retry")
def retry_quarantine(
    index: IndexOption = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Of one reason only; without it, all but DELETED.")] = None,
) -> None:
    """Have the next `vidsearch index` try again what is quarantined now."""
    from vidsearch.upkeep import quarantined

    number = quarantined.retry(_root(index), reason=reason)
    typer.echo(f"{number:,} entries will be tried again by the next `vidsearch index`" if number else "nothing is quarantined")


def _line(entry: dict[str, Any]) -> str:
    from vidsearch.tables import visible

    span = (
        ""
        if entry["start_s"] is None
        else f" {entry['start_s']:.1f}-{'end' if entry['end_s'] is None else format(entry['end_s'], '.1f')} s"
    )
    return visible(f"{entry['reason']}  {entry['video'] or entry['clip_id']}{span}" + (f": {entry['detail']}" if entry["detail"] else ""))


def _names(path: Path) -> list[str]:
    if str(path) == "-":
        return sys.stdin.read().split()
    if not path.is_file():
        raise InputNotFoundError(f"no file {path}")
    return path.read_text(encoding="utf-8", errors="replace").split()


def _root(path: Path | None) -> Path:
    """Return the folder of the index that is meant."""
    from vidsearch.storage import manifest as manifests

    chosen = path or default_index()
    return chosen / "index" if not manifests.exists(chosen) and manifests.exists(chosen / "index") else chosen
