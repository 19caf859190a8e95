"""Holds the metrics against scikit-learn's on random cases: check_metrics.py METRICS_CASE

Ties, absent labels, labels never predicted, one label only, images of several labels and of none.
Exit 77: Debian's python3-sklearn is not installed.
"""

import json
import subprocess
import sys
import warnings

try:
    import numpy as np
    from sklearn import metrics
except ImportError as missing:
    print(f"SKIPPED: needs Debian's python3-sklearn: {missing}")
    sys.exit(77)

TOLERANCE = 1e-9
warnings.filterwarnings("ignore")


def run(program, p, truth, several, thresholds):
    with open("case.bin", "wb") as file:
        n, labels = p.shape
        file.write(np.array([n, labels, several, thresholds is not None], "<i4").tobytes())
        file.write(p.astype("<f4").tobytes())
        file.write(truth.astype("u1" if several else "<i4").tobytes())
        if thresholds is not None:
            file.write(b"\0" * (-file.tell() % 8))
            file.write(thresholds.astype("<f8").tobytes())
    return json.loads(subprocess.run([program, "case.bin"], check=True, capture_output=True).stdout)


def same(what, got, want):
    got = np.array(got, dtype=float)  # null becomes NaN
    want = np.array(want, dtype=float)
    assert got.shape == want.shape, (what, got.shape, want.shape)
    close = np.isclose(got, want, rtol=0, atol=TOLERANCE, equal_nan=True)
    assert close.all(), f"{what}: got {got[~close][:5]}, want {want[~close][:5]}"


def prf(y, said, average, labels=None):
    return metrics.precision_recall_fscore_support(
        y, said, average=average, labels=labels, zero_division=0)[:3]


def check_decisions(got, y, said):
    """`y`, `said`: (images, labels) of 0 and 1; micro and macro over labels seen in either."""
    same("per label", got["scores"], np.transpose(prf(y, said, None)))
    seen = np.flatnonzero(y.any(0) | said.any(0))
    want = [prf(y, said, "micro"), prf(y, said, "macro", labels=seen) if len(seen) else [0] * 3,
            prf(y, said, "weighted")]
    same("averages", got["averages"], want)
    same("exact match", got["accuracy"], metrics.accuracy_score(y, said))


def best_f1(y, p):
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    with np.errstate(invalid="ignore"):
        return np.nanmax(2 * precision * recall / (precision + recall))


def rank(y, p):
    if not y.any():
        return [np.nan] * 3
    auc = metrics.roc_auc_score(y, p) if not y.all() else np.nan
    return [auc, metrics.average_precision_score(y, p), best_f1(y, p)]


def check_ranks(got, y, p):
    want = [rank(y[:, i], p[:, i]) for i in range(y.shape[1])]
    ranks = np.array(got["ranks"], dtype=float)
    same("ranks", ranks[:, :3], want)
    same("micro", got["micro_rank"][0][:3], rank(y.ravel(), p.ravel()))
    same("macro", got["macro_rank"][0][:3], np.nanmean(want, axis=0) if y.any() else [np.nan] * 3)
    for i in range(y.shape[1]):
        if y[:, i].any():
            said = p[:, i].astype(float) >= ranks[i, 3]
            same("F1 at the threshold", metrics.f1_score(y[:, i], said), ranks[i, 2])


def check_curves(got, y, p):
    """Eleven of the points; all labels at once, for scikit-learn takes a millisecond a call."""
    curves = np.array(got["curves"], dtype=float)
    assert curves.shape == (y.shape[1], 101, 3), curves.shape
    for t in range(0, 101, 10):
        said = (p.astype(float) >= t / 100.0).astype(int)
        same(f"curves at {t}", curves[:, t], np.transpose(prf(y, said, None)))


def ece(confidence, right):
    bins = np.clip(np.ceil(confidence.astype(float) * 15).astype(int) - 1, 0, 14)
    gaps = [abs(right[bins == b].sum() - confidence[bins == b].astype(float).sum())
            for b in range(15)]
    return sum(gaps) / len(confidence)


def check_single(got, p, labels):
    n, label_count = p.shape
    said = p.argmax(1)
    want = metrics.confusion_matrix(labels, said, labels=range(label_count))
    matrix = np.zeros_like(want)
    for true, predicted, count in got["confusion"]:
        matrix[true, predicted] = count
    same("confusion", matrix, want)
    clipped = np.maximum(p.astype(float)[np.arange(n), labels], 1e-15)
    same("log loss", got["log_loss"], -np.log(clipped).mean())
    if label_count > 1:
        whole = p.astype(float)
        whole = np.maximum(whole, 1e-15)
        if np.allclose(whole.sum(1), 1, rtol=0, atol=1e-12):
            same("log loss of scikit-learn", got["log_loss"],
                 metrics.log_loss(labels, whole, labels=range(label_count), eps=1e-15))
    if len(np.unique(p)) == p.size and label_count > 2:  # scikit-learn breaks ties in our favour
        want = [metrics.top_k_accuracy_score(labels, p, k=k, labels=range(label_count))
                for k in range(1, label_count)]
        same("top k", got["top_k"][:-1], want)
    same("ECE", got["ece"], ece(p.max(1), said == labels))


def check(program, p, truth, several, thresholds=None):
    p = p.astype("f4")
    label_count = p.shape[1]
    y = truth if several else np.eye(label_count, dtype=int)[truth]
    if thresholds is not None:
        said = (p.astype(float) >= thresholds).astype(int)
    elif several:
        said = (p >= 0.5).astype(int)
    else:
        said = np.eye(label_count, dtype=int)[p.argmax(1)]
    got = run(program, p, truth, several, thresholds)
    check_decisions(got, y, said)
    check_ranks(got, y, p)
    check_curves(got, y, p)
    if several:
        same("ECE", got["ece"], ece(p.ravel(), y.ravel().astype(bool)))
        wide = p.astype(float)
        loss = -np.log(np.maximum(np.where(y, wide, 1 - wide), 1e-15)).mean()
        same("binary loss", got["binary_loss"], loss)
    else:
        check_single(got, p, truth)


def scores(rng, n, label_count, digits):
    """Rows of a softmax that sum to 1; few digits make ties."""
    p = rng.dirichlet(np.full(label_count, rng.uniform(0.1, 2)), n)
    return p if digits is None else np.round(p, digits)


def main(program):
    rng = np.random.default_rng(1979)
    cases = 0
    for n, label_count in [(1, 3), (2, 2), (7, 3), (60, 5), (300, 10), (400, 30)]:
        for digits in [None, 2, 1, 0]:
            for absent in [False, True]:
                p = scores(rng, n, label_count, digits)
                labels = rng.integers(0, max(1, label_count // 2) if absent else label_count, n)
                thresholds = rng.integers(0, 101, label_count) / 100.0
                check(program, p, labels, False)
                check(program, p, labels, False, thresholds)
                p = rng.uniform(0, 1, (n, label_count))
                p = p if digits is None else np.round(p, digits)
                truth = (rng.uniform(0, 1, p.shape) < rng.uniform(0, 1)).astype(int)
                if absent:
                    truth[:, label_count // 2:] = 0
                check(program, p, truth, True)
                check(program, p, truth, True, thresholds)
                cases += 4
    check(program, scores(rng, 50, 4, 2), np.full(50, 2), False)  # one label only
    print(f"{cases + 1} cases equal scikit-learn's to {TOLERANCE}")


if __name__ == "__main__":
    main(sys.argv[1])
