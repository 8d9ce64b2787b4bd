"""Made-up histories of budgets over partitions: real stages and leases, the real keeper, and what kills them.

A partition works on its log and commits rows, place, outputs and requests together, or loses all of it; the
keeper answers at least once, and begins again at any time. Whatever happens, no budget is exceeded by what
was committed, nobody waits for ever, and little is left when the first purchase is told that nothing is.
"""

from collections import Counter
from itertools import islice
from random import Random
from typing import Any

from connectors.budgets import Keeper
from schemas.programs import ProgramSpec, parse_program
from schemas.times import DAY, Micros
from schemas.transactions import REFUNDED, SETTLED, Transaction
from streams.leases import SERVING_KEY, LeasedBudgets
from streams.member_log import MemberLog
from streams.purchase import Parked, PurchaseId
from streams.rows import MemoryRows

Datum = dict[str, Any]
START: Micros = 1_706_745_600_000_000
_UNBOUNDED = 2**40
_AGAIN = 0.1
"""How often the keeper says what it said already."""


class Exceeded(Exception):
    """A budget was exceeded, or too much of it was left, or somebody waits for ever."""


class Partition:
    """One partition: its log, and a worker that decides on it until it crashes."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.log: list[Transaction | Datum] = []
        self.rows = MemoryRows()
        self.at = 0
        self.begin()

    def begin(self) -> None:
        """A worker takes over at what was committed."""
        self.now = MemoryRows(self.rows)
        self.next = self.at
        self.requests: list[Datum] = []
        self.events: list[tuple[str, Datum]] = []
        self.words: list[str] = []
        self.leases = LeasedBudgets(self.now, self.number, len(self.world.figures), self.requests.append)
        self.stages = MemberLog(self.now, self, self.leases, refund_horizon_days=180, parked_days=60)
        for spec in self.world.programs:
            self.stages.publish(spec)
        self.stages.clock = START
        for key, row in self.now.items():
            if key == SERVING_KEY:
                self.leases.resume(row.decode())
            self.stages.restore(key, row)

    @property
    def has_work(self) -> bool:
        """Whether there is anything to take, or to go on with."""
        return self.next < len(self.log) or self.leases.serving is not None

    def work(self) -> None:
        """Goes on with who is being served, or takes the next record of the log."""
        if self.leases.serving is not None:
            self._serve(_UNBOUNDED)
            return
        record = self.log[self.next]
        self.next += 1
        if isinstance(record, Transaction):
            self.stages.advance(record.occurred_at, _UNBOUNDED)
            self.stages.transact(record, b"", self.next)
        elif self.leases.grant(record):
            self._serve(self.world.rng.choice((1, 2, _UNBOUNDED)))

    def _serve(self, most: int) -> None:
        for waiting in islice(self.leases.serve(), most):
            self.stages.serve(waiting)

    def commit(self) -> None:
        """All of it, or nothing."""
        self.rows, self.at = MemoryRows(self.now), self.next
        self.world.requests += self.requests
        for record, datum in self.events:
            self.world.book(record, datum)
        self.world.words.update(self.words)
        for done in (self.requests, self.events, self.words):
            done.clear()

    def event(self, who: PurchaseId, record: str, datum: Datum) -> None:
        self.events.append((record, datum))

    def decision(self, who: PurchaseId, datum: Datum) -> None:
        self.words += [word["decision"] for word in datum["decisions"] if word.get("program_id") == "bounded"]

    def case(self, who: PurchaseId, datum: Datum) -> None: ...

    def unparked(self, who: PurchaseId, parked: Parked, reason: str, message: str) -> None: ...


class World:
    """One seed: partitions, a keeper and a schedule."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = rng = Random(seed)
        self.figures = [0] * rng.choice((1, 2, 3, 12))
        self.reward = rng.choice((1, 7, 60, 300))
        self.budget = _budget(rng)
        self.programs = _programs(rng, self.budget, self.reward)
        self.requests: list[Datum] = []
        self.words: Counter[str] = Counter()
        self.live: Counter[str] = Counter()
        self.amounts: dict[str, tuple[int, str]] = {}
        self.days: dict[str, str] = {}
        self.keeper, self.folded = Keeper(), 0
        self.partitions = [Partition(self, number) for number in range(len(self.figures))]
        self.counts: Counter[str] = Counter()
        self._bought: list[tuple[Partition, Transaction]] = []

    def run(self) -> None:
        """Raises `Exceeded`."""
        for _ in range(self.rng.choice((40, 120, 400))):
            self._step()
        self._rest()
        self._buy_until_nothing_is_left()

    def book(self, record: str, datum: Datum) -> None:
        """What is committed counts: created takes, reverted gives back, cleared stays."""
        name = datum["cashback_transaction_id"]
        if datum["program_id"] != "bounded":
            return
        if record == "CashbackCreated":
            self.amounts[name] = datum["amount"], self.days[datum["transaction_ref"]]
            by = 1
        elif record == "CashbackReverted":
            by = -1
        else:
            return
        amount, day = self.amounts[name]
        for scope in ("total", day):
            self.live[scope] += by * amount
            figure = self.budget.get("total" if scope == "total" else "daily")
            if figure is not None and self.live[scope] > figure:
                raise Exceeded(f"{scope}: {self.live[scope]} of {figure}")

    def _step(self) -> None:
        rng = self.rng
        partition = rng.choice(self.partitions)
        draw = rng.random()
        if draw < 0.3:
            self._buy(partition)
        elif draw < 0.36 and self._bought:
            where, bought = self._bought.pop(rng.randrange(len(self._bought)))
            where.log.append(_refund(rng, bought))
        elif draw < 0.62:
            for _ in range(rng.randint(1, 5)):
                if partition.has_work:
                    partition.work()
        elif draw < 0.78:
            partition.commit()
        elif draw < 0.84:
            self.counts["crash"] += 1
            partition.begin()
        elif draw < 0.97:
            self._keep()
        else:
            self.counts["keeper begins again"] += 1
            self.keeper, self.folded = Keeper(), 0
            self._keep()

    def _buy(self, partition: Partition) -> None:
        number = len(self.days)
        at = START + self.rng.randrange(3) * DAY + number
        bought = Transaction(
            "bank", f"t{number}", f"m{number % 40}-{partition.number}", "shop", SETTLED, "EUR", at, "ONLINE",
            self.rng.choice((500, 1_000, 5_000)),
        )  # fmt: skip
        self.days[bought.external_id] = f"2024-02-0{1 + (at - START) // DAY}"
        partition.log.append(bought)
        self._bought.append((partition, bought))

    def _keep(self) -> None:
        """The keeper folds what is committed, and answers; now and then what it answered before, too."""
        while self.folded < len(self.requests):
            request = self.requests[self.folded]
            self.folded += 1
            for grant in self.keeper.fold(request):
                log = self.partitions[grant["partition"]].log
                log.append(grant)
                if self.rng.random() < _AGAIN:
                    log.append(grant)

    def _rest(self) -> None:
        """Until nobody has anything to do."""
        for _ in range(10_000):
            before = len(self.requests), sum(len(each.log) for each in self.partitions)
            for partition in self.partitions:
                while partition.has_work:
                    partition.work()
                partition.commit()
            self._keep()
            if before == (len(self.requests), sum(len(each.log) for each in self.partitions)):
                break
        else:
            raise Exceeded("it never comes to rest")
        waiting = sum(key.startswith(b"w") for each in self.partitions for key in each.rows)
        if waiting:
            raise Exceeded(f"{waiting} wait for ever")

    def _buy_until_nothing_is_left(self) -> None:
        """No more than one percent, or a reward a partition, is left unspent when the first is refused."""
        total = self.budget.get("total")
        if total is None or "daily" in self.budget or total > 40 * self.reward:
            return
        refused_before = self.words["BUDGET_EXHAUSTED"]
        for _ in range(200):
            if self.words["BUDGET_EXHAUSTED"] > refused_before:
                break
            self._buy(self.rng.choice(self.partitions))
            self._rest()
        else:
            return  # its members' limit, or baskets too small, end it before
        self.counts["exhausted"] += 1
        before = self.live["total"]
        bound = max(total // 100, len(self.partitions) * self.reward)
        if total - before > bound:
            raise Exceeded(f"{total - before} of {total} was unspent when nothing was left, allowed {bound}")


def sweep(first: int, histories: int) -> tuple[Counter[str], list[str]]:
    """Runs seeds one after the other: what happened, and which rule did not hold for which seed."""
    counts: Counter[str] = Counter()
    violations = []
    for seed in range(first, first + histories):
        world = World(seed)
        try:
            world.run()
        except Exceeded as exceeded:
            violations.append(f"seed {seed}: {exceeded}")
        counts += world.counts + Counter({"histories": 1, "requests": len(world.requests)})
        counts.update({f"said {word}": times for word, times in world.words.items()})
    return counts, violations


def _budget(rng: Random) -> dict[str, int]:
    scopes = rng.choice((("total",), ("total",), ("daily",), ("total", "daily")))
    return {scope: rng.choice((10, 100, 1_000, 5_000, 100_000)) for scope in scopes}


def _programs(rng: Random, budget: dict[str, int], reward: int) -> list[ProgramSpec]:
    terms: Datum = {
        "version": 1,
        "type": "campaign",
        "currency": "EUR",
        "valid_from": "2024-01-01T00:00:00Z",
        "hold_days": rng.choice((0, 14)),
        "reward": {"type": "flat", "amount": reward},
        "min_spend_minor": 1_000,
    }
    other = {**terms, "program_id": "other", "priority": -1, "reward": {"type": "flat", "amount": 1}}
    bounded = {**terms, "program_id": "bounded", "budget": budget}
    if rng.random() < 0.3:
        bounded["member_limit"] = {"count": 2, "period": "day"}
    if rng.random() < 0.3:
        bounded["reward"] = {"type": "percent", "bps": 1_000, "max_amount": reward}
    return [parse_program(bounded), parse_program(other)]


def _refund(rng: Random, bought: Transaction) -> Transaction:
    amount = rng.choice((bought.amount_minor or 0, 1 + (bought.amount_minor or 0) // 3))
    return Transaction(
        bought.partner_id, bought.external_id, bought.member_id, bought.merchant_id, REFUNDED, "EUR",
        bought.occurred_at + 1, "ONLINE", amount,
    )  # fmt: skip
