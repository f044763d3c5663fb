"""Reference values for the statistical models, from statsmodels and statsforecast.

Run with `pip install -r requirements.txt` beside it: `python statistical.py > statistical.json`. The series follow from
formulas, so that this script and the tests in `src/statistical/reference.rs` have the same ones without exchanging them.
"""

import json
import math
import warnings

import numpy as np

LEVELS = [0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975]
warnings.filterwarnings("ignore")
STEPS, DAY, WEEK = 336, 24, 168


def noise(step):
    return (step * 7_919 % 101) / 50.0 - 1.0


def daily(step):
    return 50.0 + 10.0 * math.sin(2.0 * math.pi * step / DAY) + 4.0 * math.sin(step / 37.0) + 2.0 * noise(step)


def wandering(step):
    return 20.0 + 8.0 * math.sin(step / 16.0) + 0.02 * step + noise(step)


def weekly(step):
    working = 6.0 if step // DAY % 7 < 5 else -15.0
    return 40.0 + 8.0 * math.sin(2.0 * math.pi * step / DAY) + working + 2.0 * noise(step)


def random(count, seed):
    state, numbers = seed, []
    for _ in range(4 * count):
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        numbers.append((state >> 33) / 2**31)
    return [sum(numbers[4 * place : 4 * place + 4]) - 2.0 for place in range(count)]


def hourly():
    numbers, values = random(STEPS, 3), []
    for step in range(STEPS):
        before = values[-1] if values else 0.0
        values.append(0.4 * before + numbers[step] + 0.6 * (numbers[step - 12] if step >= 12 else 0.0))
    return narrow(30.0 + value for value in values)


def walking():
    walk = np.cumsum([0.3 * number for number in random(STEPS, 2)])
    season = [3.0 * math.sin(2.0 * math.pi * step / 12) + 0.2 * noise(step) for step in range(STEPS)]
    return narrow(walk + np.array(season))


def narrow(values):
    return np.array(list(values), dtype=np.float32).astype(float)


def series(formula):
    steps = 2 * STEPS if formula is weekly else STEPS
    return narrow(formula(step) for step in range(steps))


def figures(values):
    return [round(float(value), 9) for value in values]


def spread(values, forecast):
    """Quantiles of a model's errors about their median by bands of twelve steps, from every second origin behind 70 % of the values on."""
    fitted, horizon, band = int(0.7 * len(values)), 96, 12
    errors = [[] for _ in range(horizon // band)]
    for origin in range(fitted, len(values), (len(values) - fitted) // 48):
        came = values[origin : origin + horizon]
        for step, error in enumerate(came - forecast(values[:origin], horizon)[: len(came)]):
            errors[step // band].append(error)
    return [figures(np.quantile(band, LEVELS) - np.median(band)) for band in errors]


def naive():
    from statsforecast.models import SeasonalNaive

    cases = []
    for formula, season in ((daily, DAY), (wandering, DAY), (weekly, WEEK)):
        values = series(formula)
        differences = values[season:] - values[:-season]
        cases.append(
            {
                "series": formula.__name__,
                "season": season,
                "forecast": figures(SeasonalNaive(season_length=season).forecast(values, h=30)["mean"]),
                "spread": figures(np.quantile(differences, LEVELS) - np.median(differences)),
                "scale": float(np.abs(differences).mean()),
            }
        )
    return cases


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
                model = lambda past: ETSModel(
                    past,
                    error="add",
                    trend="add" if trend else None,
                    damped_trend=trend,
                    seasonal="add" if season else None,
                    seasonal_periods=DAY if season else None,
                    initialization_method="known",
                    **known,
                )
                fit = model(values).fit(disp=False, maxiter=5000)
                named = dict(zip(fit.model.param_names, fit.params))
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
                        "spread": spread(values, lambda past, steps: model(past).smooth(fit.params).forecast(steps)),
                    }
                )
    return cases


def seasonal(values):
    from statsmodels.tsa.seasonal import seasonal_decompose

    return seasonal_decompose(values, model="additive", period=DAY).seasonal


def theta():
    from statsforecast.theta import auto_theta, forecast_theta

    cases = []
    for formula in (daily, wandering):
        values = series(formula)
        # The line of src/statistical/theta.rs is drawn through the values of all time, as OTM has it.
        model = auto_theta(values, m=DAY, model="OTM", decomposition_type="additive")
        parameters = model["par"]
        late = model["residuals"][50:]
        known = {"alpha": parameters["alpha"], "theta": parameters["theta"]}
        again = lambda past: auto_theta(past, m=DAY, model="OTM", decomposition_type="additive", **known)
        cases.append(
            {
                "series": formula.__name__,
                "season": DAY if model.get("decompose") else 1,
                "alpha": float(parameters["alpha"]),
                "theta": float(parameters["theta"]),
                "squared_error": float((late**2).sum()) if not model.get("decompose") else float(((late - seasonal(values)[50:]) ** 2).sum()),
                "forecast": figures(forecast_theta(model, 30)["mean"]),
                "spread": spread(values, lambda past, steps: forecast_theta(again(past), steps)["mean"]),
            }
        )
    return cases


def mstl():
    from statsmodels.tsa.seasonal import MSTL

    from statsforecast.models import MSTL as Forecaster, AutoETS

    # Two inner loops and constant seasonal smoothers, as in R's forecast::mstl.
    options = {"seasonal_deg": 0, "inner_iter": 2}
    values = series(weekly)
    parts = MSTL(values, periods=(DAY, WEEK), stl_kwargs=options).fit().seasonal
    case = {"series": "weekly", "day": figures(parts[-DAY:, 0]), "week": figures(parts[-WEEK:, 1])}
    forecaster = Forecaster(season_length=[DAY, WEEK], trend_forecaster=AutoETS(model="ZZN"))
    return [{**case, "forecast": figures(forecaster.forecast(values, h=48)["mean"])}]


def sarima():
    from itertools import product

    from statsforecast.arima import auto_arima_f, ndiffs, nsdiffs
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    cases = []
    for make, d, seasonal_d in ((hourly, 0, 0), (walking, 0, 1)):
        values = make()
        mean = values.mean() if d + seasonal_d == 0 else 0.0
        fits = {}
        for p, q, seasonal_p, seasonal_q in product(range(4), range(4), range(2), range(2)):
            model = SARIMAX(values - mean, order=(p, d, q), seasonal_order=(seasonal_p, seasonal_d, seasonal_q, 12))
            fits[p, q, seasonal_p, seasonal_q] = model.fit(disp=False, maxiter=200)
        # Far from the edge of what is invertible, nothing is left of the first values' treatment after 28 seasons.
        order, parameters = (1, 1, 0, 1), [0.5, 0.3, -0.5]
        fit = fits[order].model.smooth([*parameters, 1.0])
        again = lambda past: SARIMAX(past - mean, order=(1, d, 1), seasonal_order=(0, seasonal_d, 1, 12)).smooth([*parameters, 1.0])
        level = values[12:] - values[:-12] if nsdiffs(values, period=12) else values
        assert (ndiffs(level), nsdiffs(values, period=12)) == (d, seasonal_d)
        bounds = {"max_p": 3, "max_q": 3, "max_P": 1, "max_Q": 1, "d": d, "D": seasonal_d, "period": 12}
        stepwise = auto_arima_f(values, ic="aic", approximation=False, allowdrift=False, **bounds)["arma"]
        cases.append(
            {
                "series": make.__name__,
                "order": {
                    "values": order[0],
                    "differences": d,
                    "errors": order[1],
                    "seasonal_values": order[2],
                    "seasonal_differences": seasonal_d,
                    "seasonal_errors": order[3],
                    "season_steps": 12,
                },
                "parameters": [parameters[:1], [], parameters[1:2], parameters[2:]],
                "mean": float(mean),
                "late_squared_error": float((fit.resid[100:] ** 2).sum()),
                "forecast": figures(fit.forecast(48) + mean),
                "spread": spread(values, lambda past, steps: again(past).forecast(steps) + mean),
                "stepwise": " ".join(map(str, stepwise[:4])),
                "aic": {" ".join(map(str, order)): round(float(fit.aic), 4) for order, fit in fits.items()},
            }
        )
    return cases


if __name__ == "__main__":
    models = {"naive": naive(), "ets": ets(), "theta": theta(), "mstl": mstl(), "sarima": sarima()}
    cases = lambda name: ",\n".join(json.dumps(case) for case in models[name])
    print("{" + ",\n".join(f'"{name}": [\n{cases(name)}]' for name in models) + "}")
