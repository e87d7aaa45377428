"""How many of a pool's slots each account may hold: weighted max-min fair shares."""

from __future__ import annotations

from collections.abc import Mapping


def fair_shares(
    slots: int, wanted: Mapping[str, int], weights: Mapping[str, float]
) -> Mapping[str, float]:
    """Slots by account, fractions of one included; they add up to `slots`, or to all that is wanted.

    Nobody gets more than is wanted; what that leaves over goes to the others, by weight (water-filling: Bertsekas and
    Gallager, Data Networks, 6.5.2). O(n log n).
    """
    left, weight_left = float(slots), float(sum(weights[each] for each in wanted))
    shares: dict[str, float] = {}
    for each in sorted(wanted, key=lambda each: (wanted[each] / weights[each], each)):
        shares[each] = min(float(wanted[each]), left * weights[each] / weight_left)
        left -= shares[each]
        weight_left -= weights[each]
    return shares
