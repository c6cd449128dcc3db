#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cluster_truth.py BIN: are the states that are found the ones that there are?

Rows of states that overlap, with known truth: counts of calls (Poisson over log-normal totals), heavy tails (Student's t of three
degrees), and round clusters, each with 5 % of even noise. kymo and scikit-learn get the same rows and number of states; what counts is
the adjusted Rand index over the rows that are no noise. Prints a table; status 1 where kymo's best is below the peer's best by more
than .005.
"""
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

warnings.filterwarnings("ignore")
BIN = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
ROWS, NOISE = 6000, 0.05


def counts(r, k, d):
    p0 = 1 / np.arange(1, d + 1) ** 1.2
    profile = np.stack([p0[r.permutation(d)] for _ in range(k)])
    profile /= profile.sum(1, keepdims=True)
    y = r.choice(k, ROWS, p=r.dirichlet(np.full(k, 3.0)))
    q = 0.75 * profile[y] + 0.25 * profile[r.integers(0, k, ROWS)]
    return np.log1p(r.poisson(q * np.exp(r.normal(4, 0.8, ROWS))[:, None])), y


def tails(r, k, d):
    centre = r.normal(0, 4, (k, d))
    y = r.choice(k, ROWS, p=r.dirichlet(np.full(k, 4.0)))
    return centre[y] + r.standard_t(3, (ROWS, d)), y


def balls(r, k, d):
    centre, sd = r.normal(0, 2.2, (k, d)), r.uniform(0.7, 1.6, k)
    y = r.choice(k, ROWS, p=r.dirichlet(np.full(k, 4.0)))
    return centre[y] + r.standard_normal((ROWS, d)) * sd[y, None], y


def kymo(work, verb, *args):
    labels = os.path.join(work, "labels.csv")
    subprocess.run([os.path.join(BIN, "kymo-" + verb), "-q", "--force", "--transform", "none", os.path.join(work, "x.npy"), "-w",
                    os.path.join(work, "m.json"), "-o", labels, *args], check=True)
    return np.loadtxt(labels, skiprows=1, dtype=int)


def main():
    bad = 0
    print(f"{'rows':8} {'seed':>4} {'k-means':>9} {'theirs':>9} {'gmm diag':>9} {'theirs':>9}   adjusted Rand index against the truth")
    for name, make, k, d in (("counts", counts, 6, 24), ("tails", tails, 5, 8), ("balls", balls, 6, 8)):
        for seed in (1, 2, 3):
            r = np.random.default_rng(seed)
            X, y = make(r, k, d)
            noise = r.random(ROWS) < NOISE
            X[noise] = r.uniform(X.min(0), X.max(0), (int(noise.sum()), d))
            with tempfile.TemporaryDirectory() as work:
                np.save(os.path.join(work, "x.npy"), np.ascontiguousarray(X, "<f8"))
                ours = [kymo(work, "kmeans", "-k", str(k)), kymo(work, "gmm", "--covariance", "diag", "-k", str(k))]
            theirs = [KMeans(k, n_init=10, random_state=0).fit_predict(X),
                      GaussianMixture(k, covariance_type="diag", n_init=3, random_state=0).fit_predict(X)]
            a = [adjusted_rand_score(y[~noise], labels[~noise]) for labels in ours]
            b = [adjusted_rand_score(y[~noise], labels[~noise]) for labels in theirs]
            worse = max(a) < max(b) - 0.005
            bad |= worse
            print(f"{name:8} {seed:4} {a[0]:9.4f} {b[0]:9.4f} {a[1]:9.4f} {b[1]:9.4f}" + ("   WORSE" if worse else ""), flush=True)
    return 1 if bad else 0


sys.exit(main())
