from pathlib import Path

import pytest

from dataflex.watching.progress import LEAST, Point, last_checkpoint, last_stretch, read_progress
from dataflex.watching.tails import TAIL

from .conftest import Rung, trainer_line, write_ledger, write_trainer_log

NOW = 1_000_000.0


def test_pace_speed_and_loss_of_a_dynamic_run(tmp_path: Path) -> None:
    """Ten steps in 20 s, twice; 300 and 500 supervised tokens in them."""
    write_trainer_log(tmp_path, *(trainer_line(step, 100, 2 * step) for step in (10, 20, 30)), written=NOW)
    write_ledger(
        tmp_path, {10: [(9.0, 100), (9.0, 1)], 20: [(4.0, 200), (4.0, 100)], 30: [(3.0, 400), (1.0, 100)]}
    )
    progress = read_progress(tmp_path)
    assert (progress.step, progress.total_steps) == (30, 100)
    assert progress.loss == pytest.approx((3.0 * 400 + 1.0 * 100) / 500)
    assert progress.tokens == "supervised"
    assert progress.tokens_per_second == pytest.approx((300 + 500) / 40)
    assert progress.seconds_per_step == pytest.approx(2.0)
    assert progress.seconds_left(NOW) == pytest.approx(140)
    assert progress.seconds_left(NOW + 5) == pytest.approx(135)
    # It is late: no more than the next line is counted as done.
    assert progress.seconds_left(NOW + 500) == pytest.approx(120)
    assert progress.seconds_left(NOW - 500) == pytest.approx(140)


def test_a_static_run_has_the_trainers_loss_and_input_tokens(tmp_path: Path) -> None:
    """The throughput that LLaMA-Factory logs is of all steps over the last start's time; the difference is right."""
    lines = [
        trainer_line(10, 40, 7, loss=3.0, total_tokens=1000, throughput=1000 / 7.5),
        trainer_line(20, 40, 17, loss=2.5, total_tokens=3000, throughput=3000 / 17.5),
        trainer_line(20, 40, 17, loss=None, total_tokens=3000, throughput=3000 / 17.5),
    ]
    write_trainer_log(tmp_path, *lines, written=NOW)
    progress = read_progress(tmp_path)
    assert (progress.loss, progress.tokens) == (2.5, "input")
    assert progress.tokens_per_second == pytest.approx(200)
    assert progress.seconds_per_step == pytest.approx(1.0)
    write_trainer_log(tmp_path, *(trainer_line(step, 40, step) for step in (10, 20)))
    assert read_progress(tmp_path).tokens_per_second is None


def test_the_pace_is_that_of_the_last_start(tmp_path: Path) -> None:
    """The first stretch made a step a second and got to 50; the second went on from 40 at 10 s a step."""
    write_trainer_log(
        tmp_path,
        *(trainer_line(step, 100, step) for step in (10, 20, 30, 40, 50)),
        trainer_line(50, 100, 100),
        trainer_line(60, 100, 200),
        written=NOW,
    )
    (tmp_path / "manifest.json").write_text('{"stretches": [{"from_step": 0}, {"from_step": 40}]}')
    write_ledger(tmp_path, {step: [(2.0, 100)] for step in (10, 20, 30, 40, 50, 60)})
    progress = read_progress(tmp_path)
    assert progress.seconds_per_step == pytest.approx(10.0)
    assert progress.tokens_per_second == pytest.approx(1.0)
    assert progress.seconds_left(NOW) == pytest.approx(400)


def test_one_line_after_a_start_has_the_start_beside_it(tmp_path: Path) -> None:
    write_trainer_log(tmp_path, trainer_line(10, 100, 30), trainer_line(25, 100, 10), written=NOW)
    (tmp_path / "manifest.json").write_text('{"stretches": [{"from_step": 0}, {"from_step": 20}]}')
    assert read_progress(tmp_path).seconds_per_step == pytest.approx(2.0)
    (tmp_path / "manifest.json").unlink()
    assert read_progress(tmp_path).seconds_per_step is None
    write_trainer_log(tmp_path, trainer_line(10, 100, 30))
    assert read_progress(tmp_path).seconds_per_step == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("points", "begins_at", "first"),
    [
        ([(10, 5), (20, 9)], None, 10),
        ([(10, 5), (20, 9), (10, 2), (20, 4)], None, 10),
        # The clock began anew, the step did not go back.
        ([(10, 5), (20, 9), (30, 2), (40, 4)], None, 30),
        # Only the manifest can tell: the clock is later by chance.
        ([(10, 5), (20, 9), (30, 12), (40, 14)], 20, 30),
        # A step cannot be trained twice in one stretch.
        ([(10, 5), (20, 9), (20, 30), (30, 40)], None, 20),
    ],
)
def test_where_the_last_stretch_begins(
    points: list[tuple[int, int]], begins_at: int | None, first: int
) -> None:
    stretch = last_stretch([Point(step, seconds) for step, seconds in points], begins_at)
    assert stretch[0].step == first
    assert stretch[-1].step == points[-1][0]


def test_before_the_first_line_of_a_new_start_only_the_checkpoint_is_known(rung: Rung) -> None:
    run_dir = rung.run_dir("natural")
    write_trainer_log(run_dir, *(trainer_line(step, 100, step) for step in (10, 20, 30)), written=NOW)
    rung.checkpoint("natural", 20)
    rung.checkpoint("natural", 30, whole=False)
    progress = read_progress(run_dir, since=NOW + 60)
    assert (progress.step, progress.total_steps, progress.seconds_left(NOW)) == (20, 100, None)
    # A run that has just gone on, and says so, but has no line yet.
    (run_dir / "manifest.json").write_text('{"stretches": [{"from_step": 0}, {"from_step": 30}]}')
    assert read_progress(run_dir).step == 30


def test_the_last_checkpoint_that_is_whole(rung: Rung) -> None:
    run_dir = rung.run_dir("natural")
    assert last_checkpoint(run_dir) is None
    rung.checkpoint("natural", 5, whole=False)
    assert last_checkpoint(run_dir) is None
    rung.checkpoint("natural", 20)
    rung.checkpoint("natural", 100)
    rung.checkpoint("natural", 120, whole=False)
    assert last_checkpoint(run_dir) == 100
    # LLaMA-Factory's own run: nothing is sealed.
    static = rung.run_dir("uniform")
    for step, files in ((10, ["trainer_state.json"]), (20, [])):
        (static / f"checkpoint-{step}").mkdir()
        for name in files:
            (static / f"checkpoint-{step}" / name).touch()
    assert last_checkpoint(static) == 10


def test_a_long_run_is_told_by_its_end(tmp_path: Path) -> None:
    """The logs are longer than what is read of them; the ledger's reaches back less far than the trainer's."""
    steps = range(10, 10_010, 10)
    log = write_trainer_log(tmp_path, *(trainer_line(step, 50_000, step // 2) for step in steps), written=NOW)
    ledger = write_ledger(tmp_path, {step: [(2.0, 30), (1.0, 10)] for step in steps})
    assert ledger.stat().st_size > log.stat().st_size > TAIL
    progress = read_progress(tmp_path)
    assert progress.tokens_per_second == pytest.approx(40 / 5)
    assert progress.seconds_left(NOW) == pytest.approx(20_000)
    assert progress.loss == pytest.approx(1.75)


def test_an_interval_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    write_trainer_log(tmp_path, *(trainer_line(step, 100, step) for step in (10, 20, 30)), written=NOW)
    ledger = write_ledger(tmp_path, {step: [(2.0, 100), (4.0, 100)] for step in (10, 20, 30)})
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:-1]) + lines[-1][:40])
    progress = read_progress(tmp_path)
    assert progress.loss == pytest.approx(3.0)
    assert progress.tokens_per_second == pytest.approx(20.0)


def test_a_few_seconds_are_no_pace(tmp_path: Path) -> None:
    write_trainer_log(tmp_path, trainer_line(10, 100, 1), trainer_line(20, 100, int(LEAST)))
    progress = read_progress(tmp_path)
    assert (progress.step, progress.seconds_per_step, progress.tokens_per_second) == (20, None, None)


def test_days(tmp_path: Path) -> None:
    first, last = trainer_line(10, 30, 0), trainer_line(20, 30, 0)
    lines = [first | {"elapsed_time": "23:59:00"}, last | {"elapsed_time": "2 days, 0:00:00"}]
    write_trainer_log(tmp_path, *lines)
    assert read_progress(tmp_path).seconds_per_step == pytest.approx((24 * 3600 + 60) / 10)


@pytest.mark.parametrize("name", ["ledger.jsonl", "trainer_log.jsonl"])
def test_logs_cut_anywhere_can_be_read(tmp_path: Path, name: str) -> None:
    lines = [trainer_line(step, 30, 5 * step, total_tokens=step, throughput=0.2) for step in (10, 20)]
    write_trainer_log(tmp_path, *lines)
    write_ledger(tmp_path, {step: [(2.0, 100), (4.0, 100)] for step in (10, 20)})
    content = (tmp_path / name).read_bytes()
    seen = set()
    for cut in range(len(content) + 1):
        (tmp_path / name).write_bytes(content[:cut])
        progress = read_progress(tmp_path)
        assert progress.tokens_per_second is None or progress.tokens_per_second >= 0
        seen.add(progress.step)
    assert seen == ({20} if name == "ledger.jsonl" else {None, 10, 20})


def test_lines_with_other_types_are_passed_over(tmp_path: Path) -> None:
    strange = [
        {"current_steps": "x", "elapsed_time": 3, "total_steps": None, "loss": "nan"},
        {"current_steps": 10, "elapsed_time": "soon", "total_steps": [], "loss": float("nan")},
        {"current_steps": 10, "total_steps": 0},
    ]
    write_trainer_log(tmp_path, *strange)
    (tmp_path / "ledger.jsonl").write_text(
        '{"step": null, "loss_tokens": 3}\n{"step": 3}\n{"step": 5, "loss_tokens": 0}\n'
    )
    (tmp_path / "manifest.json").write_text('{"stretches": [3], "total_steps": "?", "resumed": "?"}')
    assert read_progress(tmp_path).step is None
    assert read_progress(tmp_path).loss is None
