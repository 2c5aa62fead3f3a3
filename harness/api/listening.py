"""Listening tests: build one from runs, read what raters said, add it to the runs, plan the number of raters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from speech_eval.analysis.listening import power as planning
from speech_eval.analysis.listening.description import collect, read_key
from speech_eval.analysis.listening.power import RaterPower
from speech_eval.analysis.listening.ratings import ratings_of, system_of
from speech_eval.analysis.listening.report import ListeningReport, report
from speech_eval.analysis.listening.votes import votes_of
from speech_eval.api.evaluate import PathLike_, listed
from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.registry import load_attr


def build_listening_test(
    runs: Iterable[PathLike_],
    output: PathLike_,
    *,
    kinds: str | Iterable[str] = "mos",
    task: str | None = None,
    samples: int = 12,
    per_rater: int | None = None,
    reference: bool = False,
    mid_anchor: bool = False,
    align: bool = True,
    recordings: str = "auto",
    title: str = "Listening test",
    seed: int = 0,
) -> Any:
    """Make a listening test from the stored outputs of runs: a page for raters and the organizer's key.

    kinds       what is asked: mos, smos, cmos, ab, abx, mushra, same-words, text
    task        the task whose outputs are heard; default: the only one that all runs have and whose outputs are speech
    samples     how many samples the test has
    per_rater   how many of them each rater hears; default: all
    reference   also ask about the recordings of the dataset, without telling
    mid_anchor  MUSHRA with the 7 kHz anchor beside the 3.5 kHz one
    align       make all sounds equally loud (ITU-R BS.1770)
    recordings  recordings of datasets that may be used: `auto` (your own data, and datasets whose license allows
                redistribution), `all` or `none`
    seed        of the orders, the choice of samples and the names of files

    Returns what was built: `page`, `key`, `trials` of one rater, `samples`, `left_out` with reasons, `notes`. Raises
    `BadInput` for kinds that these runs cannot be tested by, and where `output` holds something.
    """
    options = load_attr("speech_eval.leaderboard.listening.build:Options")(
        kinds=listed(kinds),
        task=task,
        samples=samples,
        per_rater=per_rater,
        reference=reference,
        mid_anchor=mid_anchor,
        align=align,
        recordings=recordings,
        title=title,
        seed=seed,
    )
    build = load_attr("speech_eval.leaderboard.listening.build:build")
    return build([Path(run) for run in runs], Path(output), options)


def serve_listening_test(test: PathLike_ = "test", *, port: int = 8018, ready: Callable[[str], None] = print) -> None:
    """Serve a test on 127.0.0.1 until interrupted, and keep each rater's answers in its folder `answers`.

    `port` 0 takes any free one. `ready` is called with the address once the server listens. Raises `BadInput` for a
    folder without a test, and for a port in use.
    """
    load_attr("speech_eval.leaderboard.listening.serve:serve")(Path(test), port, ready)


def listening_report(
    test: PathLike_, answers: Iterable[PathLike_] = (), *, screening: bool = True, headphones: bool = False
) -> ListeningReport:
    """What raters said in a test: numbers with intervals clustered by rater and by sample, tests, agreement, strengths.

    answers     files, or folders of them, beside those in the test's folder
    screening   exclude raters by the stated rules
    headphones  exclude raters who failed the headphone check
    """
    key = read_key(Path(test))
    given, unread = collect(Path(test), key, [Path(path) for path in answers])
    if not given:
        raise BadInput(f"{test} has no answers{': ' + '; '.join(unread) if unread else ''}.", "Give --answers FILES.")
    return report(key, given, unread, screened=screening, headphones=headphones)


def import_answers(
    test: PathLike_,
    runs: Iterable[PathLike_],
    answers: Iterable[PathLike_] = (),
    *,
    screening: bool = True,
    headphones: bool = False,
) -> ListeningReport:
    """Add what raters said to the runs that they heard, as metrics such as `mos[human-acr@1]`, and return the report.

    Every rating is stored, also those of raters who do not count, with the reason; importing again adds what is new.
    The other options are those of `listening_report`. Raises `BadInput` for a run that the test was not built from.
    """
    key = read_key(Path(test))
    more = [Path(path) for path in answers]
    found = listening_report(test, more, screening=screening, headphones=headphones)
    votes = votes_of(key, collect(Path(test), key, more)[0])
    labels: dict[str, RunDirectory] = {}
    for run in map(RunDirectory, runs):
        labels[system_of(key, run, list(labels))] = run
    if not labels:
        raise BadInput("No run was given.", "Give the runs that the test was built from.")
    for label, run in labels.items():
        session.rate(run, {key.task: ratings_of(key, label, votes, found.excluded)})
    return found


def rater_power(
    test: PathLike_ | None = None,
    answers: Iterable[PathLike_] = (),
    *,
    difference: float,
    samples: int | None = None,
    rater_deviation: float = 0.0,
    sample_deviation: float = 0.0,
    vote_deviation: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> RaterPower:
    """How many raters it takes to find a difference between two systems that every rater hears on the same samples.

    test               a test with answers, which tell how differences vary; or instead:
    vote_deviation     standard deviation of one rater's difference on one sample, beyond the two others
    rater_deviation    that of the raters' mean differences
    sample_deviation   that of the samples' mean differences
    difference         in the unit of the number, such as 0.2 MOS
    samples            samples of the planned test; default: those of `test`
    """
    if (test is None) == (vote_deviation is None):
        raise BadInput("Power needs a test with answers, or deviations.", "Give a test, or --vote-deviation.")
    if test is not None:
        key = read_key(Path(test))
        given = collect(Path(test), key, [Path(path) for path in answers])[0]
        return planning.of_answers(key, given, difference=difference, samples=samples, alpha=alpha, power=power)
    if samples is None:
        raise BadInput("Deviations need a number of samples.", "Give --samples.")
    return planning.of_deviations(
        rater_deviation,
        sample_deviation,
        vote_deviation or 0.0,
        difference=difference,
        samples=samples,
        alpha=alpha,
        power=power,
    )
