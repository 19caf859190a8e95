#!/usr/bin/env python3
"""The peer of `nightshift bench infer`: the exported ONNX file in onnxruntime.

Times batches of random pixels, raw 0 to 255 as float32, which is what the file takes; normalisation
and softmax are inside it, as they are inside ours. All graph optimisations are on. It prints one JSON
object; with --serve it answers each line of stdin by one more measurement.
"""

import argparse
import json
import statistics
import sys
import time

import numpy
import onnxruntime


def open_session(args):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])


def measure(session, feed, seconds):
    """Seconds of every run."""
    for _ in range(5):
        session.run(None, feed)
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return times


def report(args, session, feed):
    times = measure(session, feed, args.seconds)
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "latency_ms": 1000 * median,
                "latency_ms_best": 1000 * min(times),
                "images_per_s": args.batch / median,
                "repetitions": len(times),
                "version": onnxruntime.__version__,
                "batch": args.batch,
                "threads": args.threads,
            }
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="MODEL.onnx")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--serve", action="store_true", help="one measurement a line of stdin")
    args = parser.parse_args()

    session = open_session(args)
    image = session.get_inputs()[0]
    shape = [args.batch] + image.shape[1:]
    pixels = numpy.random.default_rng(1).integers(0, 256, shape).astype(numpy.float32)
    feed = {image.name: pixels}
    if not args.serve:
        report(args, session, feed)
        return
    print(json.dumps({"version": onnxruntime.__version__}), flush=True)
    for _ in sys.stdin:
        report(args, session, feed)


if __name__ == "__main__":
    main()
