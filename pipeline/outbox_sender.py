"""The sender: works the outbox off in order, one process at a time, and never raises or holds up a day.

At least once: an alert is settled after Slack took it, so one that dies in between sends it again. Slack's own
troubles put all alerts off (the order is kept); what no repeating cures gives the alert up, which `/readyz` shows
until somebody says `daygate alerts --retry` or `--dismiss`.

A bad day is told once. What follows about it answers in its thread when there is a bot; a webhook knows no threads,
so there the day is told again once a calendar day at most. More than `MOST_MESSAGES` within `WINDOW_SECONDS` become
one summary.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from pipeline import alert_text, database, outbox, slack
from pipeline.alert_text import SlackMessage
from pipeline.database import Connection
from pipeline.errors import DaygateError
from pipeline.failpoints import failpoint
from pipeline.outbox import Told, Waiting
from pipeline.settings import Settings
from pipeline.slack import Channel, Delivered

#: Messages within a time, so that a flood is read at all; Slack itself takes about one a second.
MOST_MESSAGES: Final = 10
WINDOW_SECONDS: Final = 600.0
#: An alert that nobody took for so long, or so often, is given up.
MOST_SECONDS: Final = 24 * 3600.0
MOST_ATTEMPTS: Final = 120
#: Before the second try; doubled each time up to the longest, give or take a quarter. Slack may ask for more.
_FIRST_WAIT: Final = 5.0
_LONGEST_WAIT: Final = 900.0
_LONGEST_ASKED: Final = 3600.0
_JITTER: Final = 0.25
#: Alerts looked at in one go, and how long one call goes on.
_AT_ONCE: Final = 500
_CALL_SECONDS: Final = 30.0

log = logging.getLogger("daygate.alerts")


def work_off(url: str, settings: Settings, *, timeout: float = slack.TIMEOUT, deadline: float = slack.DEADLINE) -> None:
    """Send what waits, as far as Slack takes it and time allows; never raises.

    Nothing is done while another process sends.

    Args:
        url: the database.
        settings: where alerts go, and in which language.
        timeout: as `slack.post`.
        deadline: as `slack.post`.
    """
    try:
        with database.session(url, name="alerts", doing="sending alerts") as connection:
            if outbox.lead(connection):
                post = partial(slack.post, timeout=timeout, deadline=deadline)
                channel = slack.channel_of(settings)
                _Sender(connection=connection, settings=settings, channel=channel, post=post).run()
    except DaygateError as error:
        log.warning("Alerts wait in the outbox: %s", error.message)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sender:
    connection: Connection
    settings: Settings
    #: None: the log.
    channel: Channel | None
    post: Callable[..., Delivered]

    def run(self) -> None:
        """Until nothing is due, Slack is in trouble, or the time is over."""
        until = monotonic() + _CALL_SECONDS
        while monotonic() < until:
            waiting = outbox.waiting(self.connection, most=_AT_ONCE)
            # In order: the first one that has to wait holds up the others.
            if not waiting or not waiting[0].due or not self._next(waiting):
                return

    def _next(self, waiting: Sequence[Waiting]) -> bool:
        """Do what is to be done with the first one; whether to go on."""
        first = waiting[0]
        if self.channel is None:
            return self._log(first)
        told = outbox.told_before(self.connection, first)
        if told.today and first.alert.kind in outbox.BAD and not self.channel.threads:
            log.info("Told already today, and still so: %s", slack.plain(self._worded(first, told)))
            outbox.settle(self.connection, [first.id], "merged")
            return True
        room = MOST_MESSAGES - outbox.sent_within(self.connection, WINDOW_SECONDS)
        if room <= 0:
            return False
        if room == 1 and len(waiting) > 1:
            return self._send_summary(waiting, self.channel)
        return self._send(first, told, self.channel)

    def _log(self, first: Waiting) -> bool:
        failpoint("alert.before")
        slack.send(self._worded(first), None)
        failpoint("alert.sent")
        outbox.settle(self.connection, [first.id], "log")
        return True

    def _send(self, first: Waiting, told: Told, channel: Channel) -> bool:
        failpoint("alert.before")
        kind = first.alert.kind
        answers = kind in outbox.BAD or kind in outbox.CLOSING
        delivered = self.post(
            self._worded(first, told, site=self.settings.site_url),
            channel,
            thread=told.thread if answers else None,
            # That it is over interests everybody.
            broadcast=told.thread is not None and kind in outbox.CLOSING,
        )
        failpoint("alert.sent")
        return self._settled([first], delivered)

    def _send_summary(self, waiting: Sequence[Waiting], channel: Channel) -> bool:
        message = alert_text.summary([one.alert for one in waiting], language=self.settings.lang)
        return self._settled(waiting, self.post(message, channel))

    def _settled(self, sent: Sequence[Waiting], delivered: Delivered) -> bool:
        """Write down what became of a message about some alerts; whether to go on."""
        first, others = sent[0], [one.id for one in sent[1:]]
        if delivered.ok:
            # The others first: their message must not be sent again because of what happens in between.
            outbox.settle(self.connection, others, "summary")
            outbox.settle(self.connection, [first.id], "slack", ts=delivered.ts)
            return True
        if delivered.how == "lasting" or first.attempts + 1 >= MOST_ATTEMPTS or first.age > MOST_SECONDS:
            lasting = delivered.how == "lasting"
            self._give_up(sent if lasting else sent[:1], delivered)
            return lasting
        wait = _wait(first.attempts, delivered.retry_after)
        outbox.put_off(self.connection, [first.id], seconds=wait, error=delivered.detail)
        log.warning(
            "Slack did not take an alert (%s), try %d; again in %.0f s.", delivered.detail, first.attempts + 1, wait
        )
        return False

    def _give_up(self, lost: Sequence[Waiting], delivered: Delivered) -> None:
        """The log is told what nobody else was."""
        outbox.give_up(self.connection, [one.id for one in lost], error=delivered.detail)
        for one in lost:
            log.error(
                "Slack takes no alert (%s), and this one is given up; daygate alerts says what to do.\n%s",
                delivered.detail,
                slack.plain(self._worded(one)),
            )

    def _worded(self, waiting: Waiting, told: Told | None = None, *, site: str | None = None) -> SlackMessage:
        again = told is not None and told.before and waiting.alert.kind in ("gate_failed", "step_failed")
        return alert_text.compose(waiting.alert, language=self.settings.lang, site=site, again=again)


def _wait(attempts: int, asked: float | None) -> float:
    """Seconds before the next try, after so many that failed before this one."""
    usual = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(attempts, 30))
    spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # nobody must not guess it
    return max(usual * spread, min(asked or 0.0, _LONGEST_ASKED))
