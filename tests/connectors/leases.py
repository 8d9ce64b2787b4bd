"""A model of what spends budgets: workers, keepers and the two topics between them.

Partitions take purchases in the order of their log, ask for leases, spend and give back; a transaction
either commits with its requests or is as if it never was. Keepers read, answer at least once, and die
between any two steps. Only the keeper's fold is the product's own; the rest says what it may rely on.
"""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from connectors.budgets import Datum, Keeper

PROGRAM = "one-percent"
Figures = dict[str, int]
"""A version's budget: scope → figure."""


STEPS = ("work", "torn", "rebuild", "keep", "deliver", "commit", "die")
WEIGHTS = (60, 10, 2, 80, 80, 20, 5)
"""What happens in a `World`, and how often."""


@dataclass
class Purchase:
    """One that earns `reward` under a version with `figures`."""

    name: int
    reward: int
    figures: Figures


@dataclass
class Row:
    """A partition's lease of one budget."""

    held: int = 0
    under: int = 0
    asked: int = 0
    asked_under: int = 0
    requests: int = 0
    closed: int = 0
    reopenings: int = 0


@dataclass
class State:
    """All that a partition's changelog keeps."""

    next_offset: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    waiting: list[Purchase] = field(default_factory=list)
    paid: dict[int, tuple[int, Figures]] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)
    versions: list[Figures] = field(default_factory=list)

    def copy(self) -> "State":
        """One that can be changed, and thrown away."""
        rows = {scope: replace(row) for scope, row in self.rows.items()}
        paid, cut = dict(self.paid), set(self.cut)
        return State(self.next_offset, rows, list(self.waiting), paid, cut, list(self.versions))


class Worker:
    """The fold of one partition of the input log. `state` is what is committed."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition = partition
        self.state = State()
        self._partitions = partitions
        self._now = self.state
        self._requests: list[Datum] = []

    def work(self, log: list[Any], count: int, *, commits: bool) -> list[Datum]:
        """Take the next `count` records in one transaction; returns its requests, none if it is torn."""
        self._now, self._requests = self.state.copy(), []
        for record in log[self._now.next_offset : self._now.next_offset + count]:
            self._now.next_offset += 1
            self._take(record)
            self._settle()
        if not commits:
            return []
        self.state = self._now
        return self._requests

    def spent(self, scope: str) -> int:
        """What rewards that are not taken back took of a budget."""
        return sum(amount for amount, figures in self.state.paid.values() if scope in figures)

    def _take(self, record: Any) -> None:
        now = self._now
        match record:
            case Purchase():
                now.waiting.append(record)
            case ("refund", name):
                now.waiting = [purchase for purchase in now.waiting if purchase.name != name]
                amount, figures = now.paid.pop(name, (0, {}))
                for scope, figure in figures.items():
                    row = self._row(scope)
                    if row.under not in (0, figure):
                        self._request(scope, row, figure, 0, amount)
                    elif amount:
                        row.held, row.under = row.held + amount, figure
            case ("version", figures):
                now.versions.append(figures)
                for scope, row in now.rows.items():
                    if row.held and not self._waiting_for(scope) and not row.asked:
                        self._give_back(scope, row, 0)
            case dict():
                self._granted(record)

    def _granted(self, grant: Datum) -> None:
        row = self._row(grant["scope"])
        if grant["number"] == 0:
            if grant["reopening"] > row.reopenings:
                row.reopenings, row.closed = grant["reopening"], 0
        elif grant["number"] == row.asked:
            row.asked = 0
            row.held += grant["amount"]
            row.under = row.asked_under if row.held else 0
            if not grant["closed"]:
                row.closed = 0 if row.asked_under <= row.closed else row.closed
            elif grant["reopening"] >= row.reopenings:
                row.closed = max(row.closed, row.asked_under)

    def _settle(self) -> None:
        now = self._now
        while now.waiting:
            purchase = now.waiting[0]
            amount = self._left(purchase)
            if amount is None:
                self._ask(purchase)
                break
            del now.waiting[0]
            if amount < purchase.reward:
                now.cut.add(purchase.name)
            if amount:
                now.paid[purchase.name] = (amount, purchase.figures)
                for scope in purchase.figures:
                    row = self._row(scope)
                    row.held -= amount
                    row.under = row.under if row.held else 0
        for scope, row in now.rows.items():
            idle = self._chunk(scope)
            if not row.asked and row.held > idle and not self._waiting_for(scope):
                self._give_back(scope, row, idle // 2)

    def _left(self, purchase: Purchase) -> int | None:
        """How much of its reward there is; None while an answer has to be waited for."""
        left, is_known = purchase.reward, True
        for scope, figure in purchase.figures.items():
            row = self._row(scope)
            usable = row.held if row.under == figure else 0
            if usable < purchase.reward:
                if figure <= row.closed:
                    left = min(left, usable)
                else:
                    is_known = False
        return left if is_known or not left else None

    def _ask(self, purchase: Purchase) -> None:
        for scope, figure in purchase.figures.items():
            row = self._row(scope)
            usable = row.held if row.under == figure else 0
            if usable >= purchase.reward or figure <= row.closed or row.asked:
                continue
            demand = sum(each.reward for each in self._now.waiting if each.figures.get(scope) == figure)
            back = row.held - usable
            row.held, row.under = usable, row.under if usable else 0
            row.asked, row.asked_under = row.requests + 1, figure
            self._request(scope, row, figure, max(demand - usable, self._chunk(scope)), back)

    def _give_back(self, scope: str, row: Row, keep: int) -> None:
        self._request(scope, row, self._smallest(scope), 0, row.held - keep)
        row.held, row.under = keep, row.under if keep else 0

    def _request(self, scope: str, row: Row, figure: int, wanted: int, returned: int) -> None:
        row.requests += 1
        self._requests.append(
            {
                "program_id": PROGRAM,
                "livemode": True,
                "scope": scope,
                "partition": self.partition,
                "number": row.requests,
                "figure": figure,
                "wanted": wanted,
                "returned": returned,
            }
        )

    def _waiting_for(self, scope: str) -> bool:
        return any(scope in purchase.figures for purchase in self._now.waiting)

    def _smallest(self, scope: str) -> int:
        return min(figures[scope] for figures in self._now.versions if scope in figures)

    def _chunk(self, scope: str) -> int:
        return self._smallest(scope) // (200 * self._partitions)

    def _row(self, scope: str) -> Row:
        return self._now.rows.setdefault(scope, Row())


@dataclass
class KeeperProcess:
    """A running keeper: what it has folded, and what it has said but not yet delivered."""

    keeper: Keeper
    answers_from: int
    next_offset: int = 0
    undelivered: list[tuple[int, Datum]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Everything before this request is answered and delivered."""
        waiting = [offset for offset, _ in self.undelivered]
        return min([*waiting, max(self.next_offset, self.answers_from)])


class World:
    """Topics, workers and keepers; every method is one step that may come at any time."""

    def __init__(self, rng: Random, *, partitions: int, keepers: int) -> None:
        self.rng = rng
        self.inputs: list[list[Any]] = [[] for _ in range(partitions)]
        self.requests: list[Datum] = []
        self.workers = [Worker(partition, partitions) for partition in range(partitions)]
        self.committed = 0
        self.keepers = [KeeperProcess(Keeper(), 0) for _ in range(keepers)]

    def publish(self, figures: Figures) -> None:
        """A version, in every partition at once."""
        for log in self.inputs:
            log.append(("version", figures))

    def work(self, worker: Worker, *, count: int, commits: bool = True) -> None:
        """One transaction of a worker."""
        requests = worker.work(self.inputs[worker.partition], count, commits=commits)
        self.requests += requests

    def rebuild(self, worker: Worker) -> None:
        """Its state is lost, and made again from the log in other transactions; all requests come again."""
        before, worker.state = worker.state, State()
        while (left := before.next_offset - worker.state.next_offset) > 0:
            self.work(worker, count=min(left, self.rng.randint(1, 9)))
        assert worker.state == before

    def keep(self, process: KeeperProcess) -> None:
        """A keeper reads one request."""
        if process.next_offset < len(self.requests):
            grants = process.keeper.fold(self.requests[process.next_offset])
            if process.next_offset >= process.answers_from:
                process.undelivered += [(process.next_offset, grant) for grant in grants]
            process.next_offset += 1

    def deliver(self, process: KeeperProcess) -> None:
        """An answer arrives on `inputs`; now and then one that was said later comes first."""
        if process.undelivered:
            place = self.rng.choice((0, self.rng.randrange(len(process.undelivered))))
            _, grant = process.undelivered.pop(place)
            self.inputs[grant["partition"]].append(grant)

    def die(self, process: KeeperProcess) -> None:
        """Kill -9, and a new one in its place."""
        self.keepers[self.keepers.index(process)] = KeeperProcess(Keeper(), self.committed)

    def step(self) -> None:
        """One step of anybody."""
        worker, process = self.rng.choice(self.workers), self.rng.choice(self.keepers)
        match self.rng.choices(STEPS, WEIGHTS)[0]:
            case "work":
                self.work(worker, count=self.rng.randint(1, 5))
            case "torn":
                self.work(worker, count=self.rng.randint(1, 5), commits=False)
            case "keep":
                self.keep(process)
            case "deliver":
                self.deliver(process)
            case "rebuild":
                self.rebuild(worker)
            case "commit":
                self.committed = process.done
            case _:
                self.die(process)

    def come_to_rest(self) -> None:
        """Go on, without accidents, until nothing is left to do."""
        while not self._rests():
            for worker in self.workers:
                self.work(worker, count=5)
            for process in self.keepers:
                for _ in range(5):
                    self.keep(process)
                while process.undelivered:
                    self.deliver(process)

    def spent(self, scope: str) -> int:
        """What all partitions have spent of a budget."""
        return sum(worker.spent(scope) for worker in self.workers)

    def held(self, scope: str) -> int:
        """What all partitions hold unspent."""
        return sum(w.state.rows[scope].held for w in self.workers if scope in w.state.rows)

    def _rests(self) -> bool:
        return all(
            worker.state.next_offset == len(log)
            for worker, log in zip(self.workers, self.inputs, strict=True)
        ) and all(
            process.next_offset == len(self.requests) and not process.undelivered for process in self.keepers
        )
