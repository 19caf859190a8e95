#!/usr/bin/env python3
"""The peer of `nightshift bench train`: the same net, batch, loss and optimiser in PyTorch.

Runs on PyTorch 1.13 (Debian's) and 2.x. A step is forward, cross-entropy, backward and one update
by SGD with Nesterov momentum and weight decay, on random images that stay where they are. Before it
measures, it tries its settings and keeps the fastest (--setting pins one): memory format, eager,
traced or compiled, the optimiser's implementation, and the form of the global pool. It prints one
JSON object. With --serve it answers each line of stdin by one more measurement, so that programs can
be run in turn without paying for start-up and tuning each time.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class ConvNormRelu(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class R9(nn.Module):
    """ResNet-9 of width w: (N, 1, 28, 28) -> logits (N, 10)."""

    def __init__(self, width, pool):
        super().__init__()
        w = width
        self.pool = pool
        self.stem = nn.Sequential(ConvNormRelu(1, w), ConvNormRelu(w, 2 * w), nn.MaxPool2d(2))
        self.first = nn.Sequential(ConvNormRelu(2 * w, 2 * w), ConvNormRelu(2 * w, 2 * w))
        self.middle = nn.Sequential(
            ConvNormRelu(2 * w, 4 * w), nn.MaxPool2d(2), ConvNormRelu(4 * w, 4 * w)
        )
        self.second = nn.Sequential(ConvNormRelu(4 * w, 4 * w), ConvNormRelu(4 * w, 4 * w))
        self.head = nn.Linear(4 * w, 10)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.first(x)
        x = self.middle(x)
        x = x + self.second(x)
        x = x.amax((2, 3)) if self.pool == "amax" else functional.adaptive_max_pool2d(x, 1).flatten(1)
        return 0.25 * self.head(x)


DEFAULT = {
    "channels_last": False,  # else contiguous
    "run": "eager",  # or trace, compile
    "optimiser": "default",  # or foreach, fused
    "pool": "amax",  # or adaptive
}


class Trainer:
    """Everything of one setting, ready to step."""

    def __init__(self, args, setting):
        torch.manual_seed(1)
        self.batch = args.batch
        self.bf16 = args.dtype == "bf16"
        form = torch.channels_last if setting["channels_last"] else torch.contiguous_format
        self.net = R9(args.width, setting["pool"]).to(memory_format=form).train()
        self.x = torch.randn(args.batch, 1, 28, 28).contiguous(memory_format=form)
        self.labels = torch.randint(0, 10, (args.batch,))
        kind = setting["optimiser"]
        extra = {} if kind == "default" else {kind: True}
        self.optimiser = torch.optim.SGD(
            self.net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, **extra
        )
        self.run = self.net
        if setting["run"] == "trace":
            with self.autocast(cache=False):
                self.run = torch.jit.trace(self.net, self.x, check_trace=False)
        elif setting["run"] == "compile":
            self.run = torch.compile(self.net)

    def autocast(self, cache=True):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16, cache_enabled=cache)

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        with self.autocast():
            logits = self.run(self.x)
            loss = functional.cross_entropy(logits.float(), self.labels)
        loss.backward()
        self.optimiser.step()
        return loss

    def measure(self, seconds, warm_up=1):
        """Median and best seconds of a step."""
        for _ in range(warm_up):
            loss = self.step()
        times = []
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            loss = self.step()
            times.append(time.perf_counter() - start)
        if not torch.isfinite(loss):
            raise RuntimeError("the loss is not finite")
        return statistics.median(times), min(times), len(times)


def version_has_compile():
    return int(torch.__version__.split(".")[0]) >= 2


def attempt(args, setting, tried):
    """Adds the setting and its speed to `tried`; what a version cannot do, it does not offer."""
    try:
        warm_up = 1 if setting["run"] == "eager" else 4  # compilers watch the first runs
        time_s = Trainer(args, setting).measure(args.tune_seconds, warm_up)[0]
    except Exception as reason:
        print(f"{setting}: {str(reason).splitlines()[:1]}", file=sys.stderr)
        return
    tried.append((time_s, setting))
    if args.verbose:
        print(f"{args.batch / time_s:8.1f} images/s {setting}", file=sys.stderr)


def fastest(tried):
    return min(tried, key=lambda one: one[0])[1]


def tune(args):
    """The fastest setting of all, and the fastest of those that run eagerly."""
    tried = []
    attempt(args, DEFAULT, tried)
    attempt(args, {**DEFAULT, "channels_last": True}, tried)
    for optimiser in ["foreach", "fused"] if version_has_compile() else ["foreach"]:
        attempt(args, {**fastest(tried), "optimiser": optimiser}, tried)
    attempt(args, {**fastest(tried), "pool": "adaptive"}, tried)
    eager = fastest(tried)
    for channels_last in False, True:
        run = "compile" if version_has_compile() else "trace"
        attempt(args, {**eager, "channels_last": channels_last, "run": run}, tried)
    return fastest(tried), eager


def report(args, setting, trainer, eager):
    """One measurement; `eager` is None or the trainer of the fastest setting without a compiler."""
    median_s, best_s, count = trainer.measure(args.seconds)
    eager_s = eager.measure(args.seconds)[0] if eager else median_s
    print(
        json.dumps(
            {
                "images_per_s": args.batch / median_s,
                "eager_images_per_s": args.batch / eager_s,
                "images_per_s_best": args.batch / best_s,
                "repetitions": count,
                "version": torch.__version__,
                "dtype": args.dtype,
                "width": args.width,
                "batch": args.batch,
                "threads": torch.get_num_threads(),
                "setting": setting,
            }
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--tune-seconds", type=float, default=1, help="for each setting tried")
    parser.add_argument("--setting", type=json.loads, help="JSON as printed; do not tune")
    parser.add_argument("--eager-setting", type=json.loads, help="the same, for --eager")
    parser.add_argument("--serve", action="store_true", help="one measurement a line of stdin")
    parser.add_argument("--eager", action="store_true", help="also measure without a compiler")
    parser.add_argument("--verbose", action="store_true", help="say what was tried")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    setting, eager_setting = args.setting, args.eager_setting
    if setting is None:
        setting, eager_setting = tune(args)
    trainer = Trainer(args, {**DEFAULT, **setting})
    eager = None
    if args.eager and eager_setting not in (None, setting):
        eager = Trainer(args, {**DEFAULT, **eager_setting})
    if not args.serve:
        report(args, setting, trainer, eager)
        return
    hello = {"version": torch.__version__, "setting": setting, "eager_setting": eager_setting}
    print(json.dumps(hello), flush=True)
    for _ in sys.stdin:
        report(args, setting, trainer, eager)


if __name__ == "__main__":
    main()
