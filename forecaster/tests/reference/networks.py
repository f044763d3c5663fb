"""Reference values for the networks' forward passes, from PyTorch's own layers.

Run with PyTorch 2.13: `python networks.py > networks.json`. Weights and inputs follow from a formula, so that this script
and the test in `src/model/network/reference.rs` have the same ones without exchanging them: the variables in the order of
their names, then the inputs.

Written after the papers rather than after our code: the LSTM is PyTorch's; the convolutional network follows Bai, Kolter
& Koltun 2018, section 3 (weight normalisation is PyTorch's parametrisation); the head with attention follows Lim et al.
2021, equations 2 to 5 (gated residual network), 6 to 8 (variable selection), 14 to 16 (attention, head by head), and
sections 4.5.2 to 4.5.4 for their order.
"""

import json
import math

import torch
from torch import nn
from torch.nn.functional import elu, gelu, pad, softmax
from torch.nn.utils.parametrizations import weight_norm

WINDOWS, PATCHES, PATCH_STEPS, CALENDAR = 3, 24, 12, 4
PATCH_FEATURES = 2 * PATCH_STEPS + CALENDAR
SEGMENTS, SEGMENT_STEPS, SEGMENT_FEATURES, CANDIDATES, LEVELS = 8, 12, 5, 9, 11
KINDS, SERIES, KIND_WIDTH, SERIES_WIDTH, POSITION_WIDTH = 3, 3, 4, 8, 16
HIDDEN, DECODER, HEADS = 8, 7, 4
STATICS = KIND_WIDTH + SERIES_WIDTH + 2


def numbers(seed, *shape):
    count = math.prod(shape)
    flat = [0.4 * math.sin(1.3 * place + seed) for place in range(count)]
    return torch.tensor(flat, dtype=torch.float32).reshape(shape)


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Linear(PATCH_FEATURES, HIDDEN)
        self.statics = nn.Linear(STATICS, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.names = {f"{name}_l0": name for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}

    def forward(self, batch, described):
        embedded = gelu(self.patch(batch["patches"]) + self.statics(described)[:, None])
        _, (state, _) = self.lstm(embedded)
        return state[0][:, None].expand(-1, SEGMENTS, -1)


class Block(nn.Module):
    def __init__(self, dilation):
        super().__init__()
        self.before = 2 * dilation
        self.first = weight_norm(nn.Conv1d(HIDDEN, HIDDEN, 3, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(HIDDEN, HIDDEN, 3, dilation=dilation))

    def forward(self, places):
        inner = torch.relu(self.first(pad(places, (self.before, 0))))
        inner = torch.relu(self.second(pad(inner, (self.before, 0))))
        return torch.relu(places + inner)


class Tcn(nn.Module):
    names = {"parametrizations.weight.original0": "length", "parametrizations.weight.original1": "direction",
             **{f"blocks.{number}": f"tcn.block{number}" for number in range(3)}}

    def __init__(self):
        super().__init__()
        self.patch = nn.Linear(PATCH_FEATURES, HIDDEN)
        self.statics = nn.Linear(STATICS, HIDDEN)
        self.blocks = nn.Sequential(Block(1), Block(2), Block(4))

    def forward(self, batch, described):
        embedded = gelu(self.patch(batch["patches"]) + self.statics(described)[:, None])
        newest = self.blocks(embedded.transpose(1, 2))[:, :, -1]
        return newest[:, None].expand(-1, SEGMENTS, -1)


class Gate(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.unit = nn.Linear(inputs, 2 * outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, inner, skip):
        value, gate = self.unit(inner).chunk(2, dim=-1)
        return self.norm(skip + torch.sigmoid(gate) * value)


class Grn(Gate):
    def __init__(self, inputs, inner, outputs, context=None):
        super().__init__(inner, outputs)
        self.input = nn.Linear(inputs, inner)
        self.inner = nn.Linear(inner, inner)
        self.context = nn.Linear(context, inner, bias=False) if context else None
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, a, c=None):
        eta2 = self.input(a) if c is None else self.input(a) + self.context(c)
        return super().forward(self.inner(elu(eta2)), self.skip(a))


class Variable(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.embedding = nn.Linear(inputs, HIDDEN)
        self.grn = Grn(HIDDEN, HIDDEN, HIDDEN)


class Selection(nn.Module):
    def __init__(self, **variables):
        super().__init__()
        self.variables = nn.ModuleDict({f"of_{name}": Variable(inputs) for name, inputs in variables.items()})
        self.weights = Grn(len(variables) * HIDDEN, HIDDEN, len(variables), HIDDEN)

    def forward(self, inputs, context):
        embedded = [variable.embedding(part) for variable, part in zip(self.variables.values(), inputs)]
        weights = softmax(self.weights(torch.cat(embedded, dim=-1), context), dim=-1)
        carried = [variable.grn(part) for variable, part in zip(self.variables.values(), embedded)]
        return sum(weights[..., place, None] * part for place, part in enumerate(carried))


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.queries = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.keys = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.values = nn.Linear(HIDDEN, HIDDEN // HEADS, bias=False)
        self.out = nn.Linear(HIDDEN // HEADS, HIDDEN, bias=False)

    def forward(self, asking, tokens):
        values, heads = self.values(tokens), []
        for query, key in zip(self.queries(asking).chunk(HEADS, dim=-1), self.keys(tokens).chunk(HEADS, dim=-1)):
            scores = query @ key.transpose(1, 2) / math.sqrt(HIDDEN // HEADS)
            for segment in range(SEGMENTS):
                scores[:, segment, PATCHES + segment + 1:] = -math.inf
            heads.append(softmax(scores, dim=-1) @ values)
        return self.out(sum(heads) / HEADS)


class Attention(nn.Module):
    names = {"variables.of_": "", ".grn.": "."}

    def __init__(self):
        super().__init__()
        head = nn.Module()
        head.statics = nn.Linear(STATICS, HIDDEN)
        head.for_selection = Grn(HIDDEN, HIDDEN, HIDDEN)
        head.for_enrichment = Grn(HIDDEN, HIDDEN, HIDDEN)
        head.patches = Selection(values=PATCH_STEPS, masks=PATCH_STEPS, calendar=CALENDAR)
        head.segments = Selection(calendar=SEGMENT_FEATURES, candidates=SEGMENT_STEPS * CANDIDATES)
        head.places = nn.Parameter(torch.empty(PATCHES + SEGMENTS, HIDDEN))
        head.enrichment = Grn(HIDDEN, HIDDEN, HIDDEN, HIDDEN)
        head.heads = Heads()
        head.attended = Gate(HIDDEN, HIDDEN)
        head.forward_grn = Grn(HIDDEN, HIDDEN, HIDDEN)
        head.out = Gate(HIDDEN, HIDDEN)
        self.attention = head
        self.names = {**self.names, "forward_grn": "forward"}

    def forward(self, batch, described):
        head = self.attention
        static = head.statics(described)[:, None]
        selecting, enriching = head.for_selection(static), head.for_enrichment(static)
        parts = batch["patches"].split([PATCH_STEPS, PATCH_STEPS, CALENDAR], dim=-1)
        patches = head.patches(parts, selecting)
        segments = head.segments([batch["segments"], batch["candidates"]], selecting)
        phi = torch.cat([patches, segments], dim=1) + head.places
        theta = head.enrichment(phi, enriching)
        asking = theta[:, PATCHES:]
        delta = head.attended(head.heads(asking, theta), asking)
        return head.out(head.forward_grn(delta), phi[:, PATCHES:])


class Network(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        known = HIDDEN + POSITION_WIDTH + STATICS + SEGMENT_FEATURES + SEGMENT_STEPS * CANDIDATES
        self.encoder = encoder
        self.kinds = nn.Embedding(KINDS, KIND_WIDTH)
        self.series = nn.Embedding(SERIES, SERIES_WIDTH)
        self.positions = nn.Embedding(SEGMENTS, POSITION_WIDTH)
        self.decoder = nn.Linear(known, DECODER)
        self.output = nn.Linear(DECODER, CANDIDATES + SEGMENT_STEPS * LEVELS)

    def by_name(self):
        """The variables under the names that our files have."""
        tables = {f"{table}.weight": table for table in ("kinds", "series", "positions")}
        renamed = {"encoder.": "", "norm.weight": "norm.scale", **tables, **self.encoder.names}
        variables = {}
        for name, variable in self.named_parameters():
            for theirs, ours in renamed.items():
                name = name.replace(theirs, ours)
            variables[name] = variable
        return dict(sorted(variables.items()))

    def forward(self, batch):
        described = torch.cat([self.kinds(batch["kinds"]), self.series(batch["series"]), batch["place"]], dim=1)
        known = torch.cat(
            [
                self.encoder(batch, described),
                self.positions(torch.arange(SEGMENTS))[None].expand(WINDOWS, -1, -1),
                batch["segments"],
                described[:, None].expand(-1, SEGMENTS, -1),
                batch["candidates"],
            ],
            dim=2,
        )
        answer = self.output(gelu(self.decoder(known)))
        weights = softmax(answer[..., :CANDIDATES], dim=2)[:, :, None]
        candidates = batch["candidates"].reshape(WINDOWS, SEGMENTS, SEGMENT_STEPS, CANDIDATES)
        base = (candidates * weights).sum(3, keepdim=True)
        residuals = answer[..., CANDIDATES:].reshape(WINDOWS, SEGMENTS, SEGMENT_STEPS, LEVELS)
        return (base + residuals).reshape(WINDOWS, SEGMENTS * SEGMENT_STEPS, LEVELS)


def reference(encoder):
    network = Network(encoder)
    variables = network.by_name()
    with torch.no_grad():
        for seed, variable in enumerate(variables.values()):
            variable.copy_(numbers(seed, *variable.shape))
        first = len(variables)
        quantiles = network({
            "patches": numbers(first, WINDOWS, PATCHES, PATCH_FEATURES),
            "place": numbers(first + 1, WINDOWS, 2),
            "candidates": numbers(first + 2, WINDOWS, SEGMENTS, SEGMENT_STEPS * CANDIDATES),
            "segments": numbers(first + 3, WINDOWS, SEGMENTS, SEGMENT_FEATURES),
            "kinds": torch.tensor([0, 1, 2]),
            "series": torch.tensor([2, 1, 0]),
        })
    every_97th = [round(value.item(), 7) for value in quantiles.flatten()[::97]]
    return {"variables": list(variables), "shape": list(quantiles.shape), "every_97th": every_97th}


print(json.dumps({kind.__name__.lower(): reference(kind()) for kind in (Lstm, Tcn, Attention)}, indent=1))
