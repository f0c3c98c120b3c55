"""A second opinion on evenkeel's trades and values, by the Python package bt.

Writes cases.json and trades/*.csv beside itself; what they hold and why is in README.md.
Nothing here is taken from evenkeel: triggers, sizes, fees and values are bt's, or written
anew from the rule that README.md states.
"""

import csv
import json
from pathlib import Path

import bt
import pandas as pd

HERE = Path(__file__).resolve().parent
PRICES = HERE.parent.parent / "data" / "sp500_daily_1990_2022.csv.gz"

FIRST, LAST = "2008-01-02", "2022-12-28"
CAPITAL = 10_000_000
# Per cent. Two that run away, one that falls behind, two that hardly move.
TARGETS = {"AAPL": 25, "AMD": 10, "JPM": 15, "KO": 30, "XOM": 20}
# Points of the total, and per cent of the target.
THRESHOLDS = [("absolute", 2), ("absolute", 5), ("absolute", 10), ("relative", 10), ("relative", 25)]
FEE_PERCENT = 0.1


class RunIfBeyond(bt.Algo):
    """Absolute drift: any weight further from its target than so many points, strictly."""

    def __init__(self, points):
        super().__init__()
        self.limit = points / 100

    def __call__(self, target):
        def weight(name):
            return target.children[name].weight if name in target.children else 0.0

        return any(abs(weight(name) - aim) > self.limit for name, aim in target.temp["weights"].items())


class Count(bt.Algo):
    """Counts the rebalances that come by, where the strategy keeps what lasts."""

    def __call__(self, target):
        target.perm["rebalances"] = target.perm.get("rebalances", 0) + 1
        return True


class ToWhatIsLeft(bt.Algo):
    """Brings every line to its share of what is left when the fees of doing so are paid.

    That value is the fixed point of v = value - fee * sum(|aim * v - held|), and each step brings
    it a thousand times closer.
    """

    def __init__(self, fee):
        super().__init__()
        self.fee = fee

    def __call__(self, target):
        price = target.universe.loc[target.now]
        aims = target.temp["weights"]
        held = {name: target.children[name].value if name in target.children else 0.0 for name in aims}
        left = target.value
        for _ in range(20):
            traded = sum(abs(aim * left - held[name]) for name, aim in aims.items())
            left = target.value - self.fee * traded
        missing = {name: aim * left - held[name] for name, aim in aims.items()}
        for name in sorted(missing, key=missing.get):
            target.transact(missing[name] / price[name], child=name)
        return True


def prices():
    # As text first: each price becomes the double that is nearest to it.
    table = pd.read_csv(PRICES, index_col="Date", parse_dates=True, dtype=dict.fromkeys(TARGETS, str))
    return table.loc[FIRST:LAST, list(TARGETS)].astype(float)


def run(table, measure, threshold, fee_percent, sizing):
    """One history; gives the number of rebalances, the trades, and the last value."""
    fee = fee_percent / 100
    trigger = RunIfBeyond(threshold) if measure == "absolute" else bt.algos.RunIfOutOfBounds(threshold / 100)
    act = bt.algos.Rebalance() if sizing == "bt" else ToWhatIsLeft(fee)
    weights = bt.algos.WeighSpecified(**{name: aim / 100 for name, aim in TARGETS.items()})
    test = bt.Backtest(
        bt.Strategy("oracle", [weights, trigger, Count(), act]),
        table,
        initial_capital=CAPITAL,
        commissions=lambda quantity, price: abs(quantity) * price * fee,
        integer_positions=False,
        progress_bar=False,
    )
    test.run()
    positions = test.strategy.positions[list(TARGETS)]
    trades = positions.diff().fillna(positions).iloc[1:]
    lines = [
        (day.date().isoformat(), name, digits(row[name]), digits(table.loc[day, name]))
        for day, row in trades[(trades != 0).any(axis=1)].iterrows()
        for name in TARGETS
        if row[name] != 0
    ]
    return test.strategy.perm["rebalances"], lines, test.strategy.values.iloc[-1]


def digits(number):
    """As many digits as tell every double from its neighbours."""
    return format(float(number), ".17g")


def cases():
    for measure, threshold in THRESHOLDS:
        name = f"{measure}-{threshold}"
        yield name, measure, threshold, 0, "bt"
        yield f"{name}-fee", measure, threshold, FEE_PERCENT, "to-what-is-left"
        yield f"{name}-fee-bt", measure, threshold, FEE_PERCENT, "bt"


def main():
    table = prices()
    (HERE / "trades").mkdir(exist_ok=True)
    found = []
    for name, measure, threshold, fee_percent, sizing in cases():
        rebalances, trades, nav = run(table, measure, threshold, fee_percent, sizing)
        with open(HERE / "trades" / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["date", "asset", "quantity", "price"])
            writer.writerows(trades)
        found.append(
            {
                "name": name,
                "measure": measure,
                "threshold": str(threshold),
                "feePercent": str(fee_percent),
                "sizing": sizing,
                "rebalances": rebalances,
                "nav": digits(nav),
            }
        )
        print(f"{name:<24} {rebalances:>4} rebalances {len(trades):>5} trades   {nav:.6f}")
    frame = {
        "first": FIRST,
        "last": LAST,
        "capital": str(CAPITAL),
        "targets": {name: str(aim) for name, aim in TARGETS.items()},
        "cases": found,
    }
    (HERE / "cases.json").write_text(json.dumps(frame, indent=1) + "\n")


if __name__ == "__main__":
    main()
