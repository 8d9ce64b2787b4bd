"""How a cashback that cleared is disputed: wanted back, and decided on."""

from dataclasses import replace

from ops.oracle.following import Following
from ops.oracle.lives import Pair
from ops.oracle.result import Case, Cashback, digest
from ops.oracle.reversals import Decision, Dispute
from ops.oracle.revocations import Revocation
from ops.oracle.telling import Telling


class Disputes:
    """Keeps the cases of pairs and what they come to."""

    def __init__(self, following: Following, telling: Telling) -> None:
        self._following = following
        self._telling = telling

    def want_back(self, pair: Pair, cashback: Cashback, word: Revocation) -> str:
        """An operator wants a cashback back that has cleared; what became of his word."""
        name, at = cashback.cashback_transaction_id, word.revoked_at
        dispute = pair.disputes.setdefault(name, Dispute())
        if at <= dispute.wanted_at:
            return "revocation_repeated"
        if cashback.reverted_at is not None:
            return "revocation_refused"
        case = pair.cases.get(name)
        if not dispute.is_wanted_back and case is not None and case.state == "OPEN":
            dispute.refunded = case.shortfall
        dispute.is_wanted_back, dispute.wanted_at = True, at
        net = pair.bought.now.net
        new = Case(digest("rvc_", name), name, 0, 0, net, at, at, "REVOKED")
        pair.cases[name] = replace(
            case or new,
            revision=1 + (case.revision if case else 0),
            shortfall=cashback.amount,
            net_minor=net,
            opened_at=case.opened_at if case and case.is_open else at,
            updated_at=at,
            cause="REVOKED",
            state="OPEN",
            actor=word.actor,
            second_actor=None,
            note=word.reason,
        )
        self._telling.cases(pair)
        return "revocation_case"

    def decide(self, pair: Pair, cashback: Cashback, decision: Decision, *, is_timely: bool) -> str:
        """Accounting decides on the case of a cashback; what became of the decision."""
        name = cashback.cashback_transaction_id
        case, dispute = pair.cases.get(name), pair.disputes.setdefault(name, Dispute())
        if decision in dispute.decisions:
            return "reversal_repeated"
        if case is None or not case.is_open or case.revision != decision.revision or not is_timely:
            return "reversal_refused"
        dispute.decisions.add(decision)
        is_claim = dispute.is_wanted_back
        if not is_claim:
            dispute.refunded = case.shortfall
        pair.cases[name] = replace(
            case,
            revision=case.revision + 1,
            net_minor=pair.bought.now.net,
            updated_at=decision.decided_at,
            cause="DECIDED",
            state="APPROVED" if decision.is_approval else "DECLINED",
            actor=decision.actor,
            second_actor=decision.second_actor,
            note=decision.reason,
        )
        self._telling.cases(pair)
        if not decision.is_approval:
            dispute.is_wanted_back = False
            return "reversal_declined"
        self._approve(pair, cashback, decision, left=cashback.amount - case.shortfall, for_good=is_claim)
        return "reversal_approved"

    def _approve(
        self, pair: Pair, cashback: Cashback, decision: Decision, *, left: int, for_good: bool
    ) -> None:
        at = decision.decided_at
        cashback.by = (decision.actor, decision.second_actor, decision.reason)
        self._following.reverse(pair, cashback, at)
        if for_good:
            pair.revoked = True
            if pair.pending is not None:
                self._following.revert(pair, pair.pending, at, "REVOKED")
        elif left > 0:
            self._following.clear(self._following.create(pair, left, decided_at=at), at)
        self._telling.publish()
