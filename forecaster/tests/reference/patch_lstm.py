"""Reference values for the network's forward pass, from PyTorch's own layers.

Run with PyTorch 2.13: `python patch_lstm.py > patch_lstm.json`. Weights and inputs follow from a formula, so that this script
and the test in `src/model/network.rs` have the same ones without exchanging them.
"""

import json
import math

import torch
from torch import nn

WINDOWS, PATCHES, PATCH_FEATURES = 3, 24, 28
SEGMENTS, SEGMENT_STEPS, SEGMENT_FEATURES, CANDIDATES, LEVELS = 8, 12, 5, 9, 11
KINDS, SERIES, KIND_WIDTH, SERIES_WIDTH, POSITION_WIDTH = 3, 3, 4, 8, 16
HIDDEN, DECODER = 6, 7
STATICS = KIND_WIDTH + SERIES_WIDTH + 2
KNOWN = HIDDEN + POSITION_WIDTH + STATICS + SEGMENT_FEATURES + SEGMENT_STEPS * CANDIDATES


def numbers(seed, *shape):
    count = math.prod(shape)
    flat = [0.4 * math.sin(1.3 * place + seed) for place in range(count)]
    return torch.tensor(flat, dtype=torch.float32).reshape(shape)


kinds = nn.Embedding(KINDS, KIND_WIDTH)
series = nn.Embedding(SERIES, SERIES_WIDTH)
positions = nn.Embedding(SEGMENTS, POSITION_WIDTH)
patch = nn.Linear(PATCH_FEATURES, HIDDEN)
statics = nn.Linear(STATICS, HIDDEN)
lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
decoder = nn.Linear(KNOWN, DECODER)
output = nn.Linear(DECODER, CANDIDATES + SEGMENT_STEPS * LEVELS)
variables = {
    "decoder.bias": decoder.bias,
    "decoder.weight": decoder.weight,
    "kinds": kinds.weight,
    "lstm.bias_hh": lstm.bias_hh_l0,
    "lstm.bias_ih": lstm.bias_ih_l0,
    "lstm.weight_hh": lstm.weight_hh_l0,
    "lstm.weight_ih": lstm.weight_ih_l0,
    "output.bias": output.bias,
    "output.weight": output.weight,
    "patch.bias": patch.bias,
    "patch.weight": patch.weight,
    "positions": positions.weight,
    "series": series.weight,
    "statics.bias": statics.bias,
    "statics.weight": statics.weight,
}
with torch.no_grad():
    for seed, variable in enumerate(variables.values()):
        variable.copy_(numbers(seed, *variable.shape))

    patches = numbers(20, WINDOWS, PATCHES, PATCH_FEATURES)
    place = numbers(21, WINDOWS, 2)
    candidates = numbers(22, WINDOWS, SEGMENTS, SEGMENT_STEPS * CANDIDATES)
    segments = numbers(23, WINDOWS, SEGMENTS, SEGMENT_FEATURES)
    kind_of = torch.tensor([0, 1, 2])
    series_of = torch.tensor([2, 1, 0])

    described = torch.cat([kinds(kind_of), series(series_of), place], dim=1)
    embedded = nn.functional.gelu(patch(patches) + statics(described)[:, None])
    _, (state, _) = lstm(embedded)
    known = torch.cat(
        [
            state[0][:, None].expand(-1, SEGMENTS, -1),
            positions(torch.arange(SEGMENTS))[None].expand(WINDOWS, -1, -1),
            segments,
            described[:, None].expand(-1, SEGMENTS, -1),
            candidates,
        ],
        dim=2,
    )
    answer = output(nn.functional.gelu(decoder(known)))
    weights = torch.softmax(answer[..., :CANDIDATES], dim=2)[:, :, None]
    base = (candidates.reshape(WINDOWS, SEGMENTS, SEGMENT_STEPS, CANDIDATES) * weights).sum(3, keepdim=True)
    residuals = answer[..., CANDIDATES:].reshape(WINDOWS, SEGMENTS, SEGMENT_STEPS, LEVELS)
    quantiles = (base + residuals).reshape(WINDOWS, SEGMENTS * SEGMENT_STEPS, LEVELS)

flat = quantiles.flatten()
print(json.dumps({"shape": list(quantiles.shape), "every_97th": [round(value.item(), 7) for value in flat[::97]]}))
