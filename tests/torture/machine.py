"""How much of the machine strangers take: what they hold up is not what the system took."""

import os

import psutil

STRETCH_MAX = 6.0


class Machine:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._busy_s, self._total_s = _machine_s()
        self._ours_s = _ours_s()

    def ours_s(self) -> float:
        """CPU seconds that this process and all below it took."""
        return _ours_s() - self._ours_s

    def stretch(self) -> float:
        """What to multiply time limits by: 1 when the machine is ours, 4 when others take three quarters."""
        busy_s, total_s = _machine_s()
        others_s = max(0.0, busy_s - self._busy_s - self.ours_s())
        free = 1.0 - others_s / max(1e-9, total_s - self._total_s)
        return min(STRETCH_MAX, 1.0 / max(free, 1e-9))


def _machine_s() -> tuple[float, float]:
    """CPU seconds since the start of the machine: busy, and all there were."""
    times = psutil.cpu_times()
    total_s = times.user + times.nice + times.system + times.idle + getattr(times, "iowait", 0.0)
    return total_s - times.idle - getattr(times, "iowait", 0.0), total_s


def _ours_s() -> float:
    """CPU seconds of this process, of all below it, and of those below it that ended."""
    ended = os.times()
    seconds = ended.user + ended.system + ended.children_user + ended.children_system
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
