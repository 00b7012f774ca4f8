"""sbatch, squeue, sacct, scancel, scontrol and srun of a site that has no nodes: what the executor asks and hears.

A job is a file of the site's folder, which is named by the first line of each program. A test writes into it
what Slurm would say of the job next; with a file ``held`` in the folder ``sbatch`` starts every job
but those whose comments begin with what stands there.
"""

import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "srun")
SAID = {"%i": "number", "%T": "queue", "%j": "name", "%r": "reason", "%k": "comment"}
RUN = """{command}
status=$?
exec {python} -SE {program} {folder} ended {number} $status
"""


class Site:
    """A folder of jobs, and the programs that speak of them."""

    def __init__(self, folder):
        self.folder, self.bin = Path(folder), Path(folder) / "bin"

    def install(self):
        self.bin.mkdir(parents=True)
        (self.folder / "jobs").mkdir()
        for name in COMMANDS:
            file = self.bin / name
            file.write_text(f'#!/bin/sh\nexec {sys.executable} -SE {__file__} {self.folder} {name} "$@"\n')
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return self

    def locked(self):
        stream = (self.folder / "lock").open("a")
        fcntl.flock(stream, fcntl.LOCK_EX)
        return stream

    def jobs(self):
        """Number -> job, in the order of submission."""
        found = {file.stem: json.loads(file.read_text()) for file in (self.folder / "jobs").glob("*.json")}
        return dict(sorted(found.items(), key=lambda item: int(item[0])))

    def say(self, number, queue=None, accounts=None, reason="None", **more):
        """What squeue and sacct say of a job from now on; None: nothing."""
        said = {"queue": queue, "accounts": accounts, "reason": reason, **more}
        self._write(number, {**self.jobs().get(number, {}), **said})

    def submit(self, name, comment, queue="RUNNING", **more):
        """A job that somebody has submitted; its number."""
        number = str(1 + max(map(int, self.jobs()), default=99))
        job = {"name": name, "comment": comment, "queue": queue, "accounts": None, "reason": "None"}
        self._write(number, {**job, **more})
        return number

    def answer(self, command, *answers):
        """What a command does the next times.

        Args:
            answers: of ``said`` (an error), ``printed``, ``taken`` (a job is submitted all the same), ``hangs``
                (seconds before anything happens).
        """
        (self.folder / f"{command}.answers").write_text(json.dumps(list(answers)))

    def down(self, *commands):
        """Commands that fail until further notice, and no others."""
        (self.folder / "down").write_text(json.dumps(commands))

    def start(self, number):
        """Start what was submitted, beside everything else."""
        job = self.jobs()[number]
        words = {"command": job["command"], "number": number, "folder": self.folder}
        with Path(job["log"].replace("%j", number)).open("ab") as stream:
            subprocess.Popen(
                ["/bin/sh", "-c", RUN.format(python=sys.executable, program=__file__, **words)],
                cwd=job["where"],
                env={**job["environment"], "SLURM_JOB_ID": number},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.say(number, "RUNNING")

    def _write(self, number, job):
        draft = self.folder / "jobs" / f".{number}.{os.getpid()}"
        draft.write_text(json.dumps(job))
        draft.replace(self.folder / "jobs" / f"{number}.json")

    def next_answer(self, command):
        file = self.folder / f"{command}.answers"
        answers = json.loads(file.read_text()) if file.is_file() else []
        if answers:
            file.write_text(json.dumps(answers[1:]))
        return answers[0] if answers else {}

    def is_down(self, command):
        file = self.folder / "down"
        return file.is_file() and command in json.loads(file.read_text())


def option(words, *names):
    """The value of an option, the last one if it is given twice, as getopt_long has it."""
    found = None
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            found = value if equals else words[at + 1]
    return found


def sbatch(site, words):
    answer = site.next_answer("sbatch")
    number = None
    time.sleep(answer.get("hangs", 0))
    if not answer.get("said") or answer.get("taken"):
        name, comment = option(words, "--job-name"), option(words, "--comment")
        asked = {"memory": int(option(words, "--mem") or 0), "log": option(words, "--output")}
        asked |= {"command": option(words, "--wrap"), "where": option(words, "-D")}
        asked |= {"environment": dict(os.environ)}
        number = site.submit(name, comment, "PENDING", **asked)
        held = site.folder / "held"
        if held.is_file() and not comment.startswith(held.read_text()):
            site.start(number)
    if answer.get("said"):
        print(answer["said"], file=sys.stderr)
        sys.exit(1)
    print(answer.get("printed") or number)


def ended(site, words):
    number, status = words
    with site.locked():
        if site.jobs()[number]["queue"] == "RUNNING":
            site.say(number, "COMPLETED" if status == "0" else "FAILED")


def squeue(site, words):
    for number, job in site.jobs().items():
        if job["queue"] is not None:
            line = option(words, "--format")
            for letter, key in SAID.items():
                line = line.replace(letter, str({**job, "number": number}[key]))
            print(line)


def sacct(site, words):
    for number in option(words, "--jobs").split(","):
        job = site.jobs().get(number, {})
        if job.get("accounts") is not None:
            print("|".join((number, job["accounts"], job["name"], job["reason"])))


def scancel(site, words):
    for number in words:
        site.say(number, "CANCELLED by 0")


def main():
    site, command, words = Site(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if command == "srun":
        at = next(at for at, word in enumerate(words) if not word.startswith("-"))
        os.execvp(words[at], words[at:])
    if command == "scontrol":
        timeout = site.folder / "node_timeout"
        print("MaxArraySize            = 1001\nMinJobAge               = 300 sec")
        print(f"SlurmdTimeout           = {timeout.read_text()} sec" if timeout.is_file() else "")
        return
    if command == "ended":
        ended(site, words)
        return
    with site.locked():
        with (site.folder / "calls").open("a") as stream:
            stream.write(f"{time.time()} {command}\n")
        if site.is_down(command):
            sys.exit(f"{command}: error: Unable to contact slurm controller (connect failure)")
        {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scancel": scancel}[command](site, words)


if __name__ == "__main__":
    main()
