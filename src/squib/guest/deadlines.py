"""Deadlines of many connections, in constant time each: a wheel of ticks.

A connection is in the slot of the tick at which it is looked at. Moving its deadline later only stores the new one: the look
that comes too early puts it into its right slot. So the many that move a deadline at each request pay an assignment. What is
forgotten leaves its slot at once: a client that comes and goes leaves nothing behind.
"""

from __future__ import annotations

_NEVER = float("inf")


class Timed:
    """What has a deadline: `deadline` in seconds of the monotonic clock, `looked_at` when the wheel looks at it next."""

    __slots__ = ("deadline", "looked_at", "slot")

    def __init__(self) -> None:
        self.deadline = _NEVER
        self.looked_at = _NEVER
        self.slot = 0


class Wheel:
    """`tick_s` is how late a deadline may be noticed; before `next_at` nothing is due."""

    def __init__(self, tick_s: float, now: float) -> None:
        self.next_at = now
        self._tick_s = tick_s
        self._slots: dict[int, dict[Timed, None]] = {}  # a set that keeps its order
        self._next = int(now / tick_s)

    def set(self, item: Timed, deadline: float) -> None:
        """`item` is due at `deadline`."""
        item.deadline = deadline
        if deadline < item.looked_at:
            self._take_out(item)
            self._put(item)

    def forget(self, item: Timed) -> None:
        """`item` is never due."""
        item.deadline = _NEVER
        self._take_out(item)

    def due(self, now: float) -> list[Timed]:
        """What is due at `now`, each once; it must be set anew to be due again."""
        found: list[Timed] = []
        last = int(now / self._tick_s)
        if not self._slots:
            self._next = last + 1
        while self._next <= last:
            slot = self._next
            self._next += 1
            for item in self._slots.pop(slot, ()):
                item.looked_at = _NEVER
                if item.deadline <= now:
                    found.append(item)
                else:
                    self._put(item)
        self.next_at = self._next * self._tick_s
        return found

    def _put(self, item: Timed) -> None:
        item.slot = max(int(item.deadline / self._tick_s) + 1, self._next)
        item.looked_at = item.slot * self._tick_s
        self._slots.setdefault(item.slot, {})[item] = None

    def _take_out(self, item: Timed) -> None:
        if item.looked_at != _NEVER:
            item.looked_at = _NEVER
            slot = self._slots[item.slot]
            del slot[item]
            if not slot:
                del self._slots[item.slot]
