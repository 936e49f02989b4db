"""Settings of runs: how they wait, how long they may take, what is kept of them."""

from typing import Final, Literal

from pydantic_settings import BaseSettings

from reverie.config.fields import POSITIVE, setting

_RUNS: Final = "Runs"


class RunSettings(BaseSettings):
    """How runs wait, how long they may take, what is kept of them."""

    busy_policy: Literal["enqueue", "reject", "interrupt"] = setting(
        "enqueue",
        "REVERIE_BUSY_POLICY",
        section=_RUNS,
        expects="enqueue, reject or interrupt",
        note="What happens to a message for a conversation that is busy: it waits, is answered with 409, or cancels "
        "what runs. An agent's metadata `busy_policy`, and `busy_policy` in a request, go before it.",
    )
    lease_s: float = setting(
        15.0,
        "REVERIE_LEASE_S",
        section=_RUNS,
        expects=POSITIVE,
        note="How long a run stays with a server that no longer answers, in seconds.",
        gt=0,
    )
    run_attempts: int = setting(
        3,
        "REVERIE_RUN_ATTEMPTS",
        section=_RUNS,
        expects="a whole number greater than 0",
        note="Most processes that may die while they drive the same background run: until then another one goes on "
        "with it, then it is ended as failed. 1: it is never gone on with.",
        gt=0,
    )
    workers: int = setting(
        100,
        "REVERIE_WORKERS",
        section=_RUNS,
        expects="a whole number, 0 or more",
        note="Most background runs that this process drives at the same time; more wait in line. 0, on PostgreSQL "
        "only: it leaves them, and schedules, batches, uploaded files and sleeptime, to other processes.",
        ge=0,
    )
    schedule_grace_s: float = setting(
        86_400.0,
        "REVERIE_SCHEDULE_GRACE_S",
        section=_RUNS,
        expects="a number of seconds, 0 or more",
        note="How late a message that was scheduled for one time is still sent when the server was down then.",
        ge=0,
    )
    approval_timeout_s: float = setting(
        0.0,
        "REVERIE_APPROVAL_TIMEOUT_S",
        section=_RUNS,
        expects="a number of seconds, 0 or more",
        note="After how many seconds calls that wait for an approval, or for a client's result, are denied. 0: never. "
        "An agent's metadata `approval_timeout_s` goes before it.",
        ge=0,
    )
    peer_depth: int = setting(
        5,
        "REVERIE_PEER_DEPTH",
        section=_RUNS,
        expects="a whole number greater than 0",
        note="Most agents that may send messages to one another in a row.",
        gt=0,
    )
    peer_busy_timeout_s: float = setting(
        60.0,
        "REVERIE_PEER_BUSY_TIMEOUT_S",
        section=_RUNS,
        expects=POSITIVE,
        note="Longest wait of an agent for another one that is busy, in seconds.",
        gt=0,
    )
    peer_reply_timeout_s: float = setting(
        600.0,
        "REVERIE_PEER_REPLY_TIMEOUT_S",
        section=_RUNS,
        expects=POSITIVE,
        note="Longest wait of an agent for another one's answer, in seconds; then that turn is stopped.",
        gt=0,
    )
    sleeptime_interval_s: float = setting(
        30.0,
        "REVERIE_SLEEPTIME_INTERVAL_S",
        section=_RUNS,
        expects=POSITIVE,
        note="How often is looked for sleeptime work that another server left, in seconds; one's own begins at once.",
        gt=0,
    )
    trace_days: float = setting(
        7.0,
        "REVERIE_TRACE_DAYS",
        section=_RUNS,
        expects="a number of days, 0 or more",
        note="How long requests to model providers and their replies are kept for `steps/{id}/trace`. 0 keeps none.",
        ge=0,
    )
    crash_at: str | None = setting(
        None,
        "REVERIE_CRASH_AT",
        section=_RUNS,
        expects="the name of a crash point, or name:n for its n-th passing",
        note="For tests of recovery: the server kills itself there.",
    )
