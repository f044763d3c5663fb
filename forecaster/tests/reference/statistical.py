"""Reference values for the statistical models, from statsmodels and statsforecast.

Run with `pip install -r requirements.txt` beside it: `python statistical.py > statistical.json`. The series follow from
formulas, so that this script and the tests in `src/statistical/reference.rs` have the same ones without exchanging them.
"""

import json
import math
import warnings

import numpy as np

warnings.filterwarnings("ignore")
STEPS, DAY = 480, 24


def noise(step):
    return (step * 7_919 % 101) / 50.0 - 1.0


def daily(step):
    return 50.0 + 10.0 * math.sin(2.0 * math.pi * step / DAY) + 4.0 * math.sin(step / 37.0) + 2.0 * noise(step)


def wandering(step):
    return 20.0 + 8.0 * math.sin(step / 11.0) + 0.02 * step + noise(step)


def series(formula):
    return np.array([formula(step) for step in range(STEPS)], dtype=np.float32).astype(float)


def figures(values):
    return [round(float(value), 9) for value in values]


def ets():
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    cases = []
    for formula in (daily, wandering):
        values = series(formula)
        for trend in (False, True):
            for season in (False, True):
                # The first states are those that src/statistical/ets.rs begins with.
                known = {"initial_level": values[:10].mean()}
                if season:
                    first = values[: 3 * DAY]
                    deviations = first.reshape(3, DAY).mean(axis=0) - first.mean()
                    known = {"initial_level": first.mean(), "initial_seasonal": deviations}
                if trend:
                    known["initial_trend"] = 0.0
                model = ETSModel(
                    values,
                    error="add",
                    trend="add" if trend else None,
                    damped_trend=trend,
                    seasonal="add" if season else None,
                    seasonal_periods=DAY if season else None,
                    initialization_method="known",
                    **known,
                )
                fit = model.fit(disp=False, maxiter=5000)
                named = dict(zip(model.param_names, fit.params))
                cases.append(
                    {
                        "series": formula.__name__,
                        "trend": trend,
                        "season": season,
                        "alpha": float(named["smoothing_level"]),
                        "beta": float(named.get("smoothing_trend", 0.0)),
                        "phi": float(named.get("damping_trend", 0.0)),
                        "gamma": float(named.get("smoothing_seasonal", 0.0)),
                        "squared_error": float((fit.resid**2).sum()),
                        "forecast": figures(fit.forecast(30)),
                    }
                )
    return cases


if __name__ == "__main__":
    models = {"ets": ets()}
    cases = lambda name: ",\n".join(json.dumps(case) for case in models[name])
    print("{" + ",\n".join(f'"{name}": [\n{cases(name)}]' for name in models) + "}")
