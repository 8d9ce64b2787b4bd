"""Stage: what a purchase earns under one version of a program. Integers only, rounded down once."""

from streams.program import Program, Rung


def reward_on(program: Program, amount: int) -> int:
    """Reward of a basket of `amount` minor units; 0 below min_spend and for an empty basket."""
    if amount <= 0 or amount < program.min_spend:
        return 0
    return _on_rung(_rung_of(program.rungs, amount), amount)


def earned(program: Program, net: int, gross: int) -> int:
    """Reward of a purchase of `gross` of which `net` is left after refunds.

    The least reward of any amount between the two. A ladder may pay more for less: were the reward taken on
    net alone, a refund could raise it; were it merely kept from rising, the order of refunds would matter.
    """
    if net <= 0 or net < program.min_spend:
        return 0
    least = reward_on(program, net)
    for rung in program.rungs if net < gross else ():
        if net <= rung.starts_after < gross:
            # within a rung the reward never falls, so its lowest amount is its least
            least = min(least, _on_rung(rung, rung.starts_after + 1))
    return least


def bracket_of(program: Program, amount: int) -> int:
    """Which bracket holds a basket of `amount`, from 1."""
    return program.rungs.index(_rung_of(program.rungs, amount)) + 1


def _rung_of(rungs: tuple[Rung, ...], amount: int) -> Rung:
    if len(rungs) > 1:
        for rung in reversed(rungs):
            if amount > rung.starts_after:
                return rung
    return rungs[0]


def _on_rung(rung: Rung, amount: int) -> int:
    if not rung.bps:
        return rung.amount
    reward = amount * rung.bps // 10_000
    return reward if rung.most is None else min(reward, rung.most)
