"""Forecasts and their errors as a table for people."""

ERRORS = ["target", "model", "MAE", "RMSE", "MASE", "naive MAE"]


def errors(forecast):
    """A forecast's cells under ERRORS."""
    scores = forecast["metrics"] or {}
    return [forecast["metric"], forecast["model"]["kind"],
            *(figure(scores.get(name)) for name in ("mae", "rmse", "mase", "baseline_mae"))]


def outlook(forecast):
    """The newest value, and the median at the horizon's end."""
    median = forecast["quantiles"][forecast["quantile_levels"].index(0.5)]
    return [with_unit(forecast["value_now"], forecast["unit"]), with_unit(median[-1], forecast["unit"])]


def with_unit(value, unit):
    return f"{figure(value)} {unit}" if unit and value is not None else figure(value)


def figure(value):
    if value is None:
        return "-"
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def show(head, rows, write=print):
    """Prints the rows under the head: words to the left, figures to the right."""
    first_number = head.index("MAE")
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [f"{cell:<{width}}" if column < first_number else f"{cell:>{width}}"
                 for column, (cell, width) in enumerate(zip(row, widths))]
        write("  ".join(cells))
