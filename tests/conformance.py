#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conformance.py FIXTURES: the built clusterers against a folder of expected outcomes.

FIXTURES holds cases, one JSON each (its "kind" says of what), and the CSV tables they name; tests/golden/clustering is such a
folder and its README says what the numbers are. Prints a line a case, and "N passed, N failed, N skipped" at the end.
KYMO_BIN is where the tools are. Only Python's own library is used.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

BIN = os.environ.get("KYMO_BIN", "build/release/bin")


class Differs(Exception):
    pass


def near(what, got, want, rel, abs_=0.0):
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            raise Differs(f"{what}: {len(got) if isinstance(got, list) else got} values, {len(want)} wanted")
        for i, (g, w) in enumerate(zip(got, want)):
            near(f"{what}[{i}]", g, w, rel, abs_)
    elif got is None or not abs(got - want) <= max(rel * abs(want), abs_):
        raise Differs(f"{what}: {got!r}, {want!r} wanted")


def same(what, got, want):
    if got != want:
        where = next((i for i, (g, w) in enumerate(zip(got, want)) if g != w), None) if isinstance(want, list) else None
        raise Differs(f"{what} differs" + ("" if where is None else f" first at {where}: {got[where]!r}, {want[where]!r} wanted"))


def flat(v):
    return [x for y in v for x in flat(y)] if isinstance(v, list) else [v]


def renumbered(labels):
    """The same partition, numbered in the order of first appearance."""
    seen = {}
    return [seen.setdefault(x, len(seen)) for x in labels]


class Run:
    def __init__(self, folder, case, work):
        self.data = os.path.join(folder, case["data"])
        self.work = work

    def path(self, name):
        return os.path.join(self.work, name)

    def write_rows(self, name, rows):
        with open(self.path(name), "w") as f:
            f.write(",".join(f"x{i}" for i in range(len(rows[0]))) + "\n")
            for row in rows:
                f.write(",".join(repr(float(v)) for v in row) + "\n")
        return self.path(name)

    def read_rows(self, name):
        with open(self.path(name)) as f:
            return [[float(v) for v in line.split(",")] for line in f.read().split("\n")[1:] if line]

    def read_labels(self, name="labels.csv"):
        return [int(r[0]) for r in self.read_rows(name)]

    def tool(self, verb, *args, model=True):
        """Run a tool on the case's rows as they are; its JSON summary, and its model."""
        words = [os.path.join(BIN, "kymo-" + verb), "--transform", "none", "--holdout", "0", "--json", "--force", *args, self.data]
        if model:
            words += ["-w", self.path("model.json"), "-o", self.path("labels.csv")]
        p = subprocess.run(words, capture_output=True, text=True, timeout=300)
        if p.returncode:
            raise Differs(f"kymo-{verb} ended with {p.returncode}: {p.stderr.strip()[:200]}")
        said = json.loads(p.stdout)
        if model:
            with open(self.path("model.json")) as f:
                return said, json.load(f)
        return said


def kmeans(run, case):
    tol, init = case["tol"], run.write_rows("init.csv", case["init_centers"])
    said, model = run.tool("kmeans", "--init", init)
    fit = said["fit"]
    same("labels", run.read_labels(), case["labels"])
    near("centers", [s["centre"] for s in model["states"]], case["centers"], 0, tol["centers_abs"])
    near("inertia", fit["inertia"], case["inertia"], tol["inertia_rel"])
    same("sizes", [s["size"] for s in model["states"]], case["sizes"])
    near("withinss", [s["spread"] ** 2 * s["size"] for s in model["states"]], case["withinss"], 1e-8, 1e-9)
    # Passes of assignment, the last one included, which changed nothing.
    if "count_of_assignment_passes" in case.get("n_iter", {}):
        same("passes", fit["iterations"], case["n_iter"]["count_of_assignment_passes"])
    if "one_update" in case:
        said, model = run.tool("kmeans", "--init", init, "--max-iter", "1")
        near("centers after one update", [s["centre"] for s in model["states"]], case["one_update"]["centers"], 0, tol["centers_abs"])
        near("inertia after one update", said["fit"]["inertia"], case["one_update"]["inertia_after"], tol["inertia_rel"])


def gmm(run, case):
    tol = case["tol"]
    with open(run.path("start.json"), "w") as f:
        json.dump({"weights": case["init_weights"], "means": case["init_means"], "covariances": case["init_covariances"]}, f)
    said, model = run.tool("gmm", "--covariance", case["covariance_type"], "--init", run.path("start.json"), "--tol", "0", "--reg",
                           repr(case.get("reg_covar", 0.0)), "--max-iter", str(case["iterations"]), "--probabilities-out", run.path("p.csv"))
    fit, mix = said["fit"], model["mixture"]
    rel, abs_ = tol["params_rel"], tol["params_abs"]
    same("iterations", fit["iterations"], case["iterations"])
    near("log-likelihood", fit["loglik_trace"], case["loglik_trace"], tol["loglik_rel"])
    near("weights", mix["weights"], case["weights"], rel, abs_)
    near("means", [s["centre"] for s in model["states"]], case["means"], rel, abs_)
    near("covariances", mix["covariances"], flat(case["covariances"]), rel, abs_)
    near("parameters", fit["n_parameters"], case["n_parameters"], 0)
    near("BIC", fit["bic"], case["bic"], tol["loglik_rel"])
    near("AIC", fit["aic"], case["aic"], tol["loglik_rel"])
    same("labels", run.read_labels(), case["labels"])
    near("responsibilities", run.read_rows("p.csv")[: len(case["resp_first_rows"])], case["resp_first_rows"], rel, abs_)


def hierarchical(run, case):
    rel, n = case["tol"]["height_rel"], len(case["Z"]) + 1
    tied = case["tied_pair_distances"] > 0
    said, _ = run.tool("hierarchical", "--method", case["linkage"], "-k", "1", "--tree-out", run.path("Z.csv"))
    Z = run.read_rows("Z.csv")
    same("merges", len(Z), n - 1)
    near("heights", sorted(r[2] for r in Z), sorted(r[2] for r in case["Z"]), rel, 1e-12)
    if not tied:
        same("merged clusters", [r[:2] for r in Z], [[float(a), float(b)] for a, b, _, _ in case["Z"]])
        same("sizes", [r[3] for r in Z], [float(r[3]) for r in case["Z"]])
    near("sum of cophenetic distances", said["fit"]["cophenetic_sum"], case["cophenetic_sum"], rel)
    near("sum of their squares", said["fit"]["cophenetic_sumsq"], case["cophenetic_sumsq"], rel)
    for k, want in case["cuts"].items():
        run.tool("hierarchical", "--method", case["linkage"], "-k", k)
        got = renumbered(run.read_labels())
        # Among equal heights the order is nobody's, and a cut between them is too.
        h = sorted(r[2] for r in case["Z"])
        at = n - int(k)
        if tied and at > 0 and math.isclose(h[at - 1], h[at] if at < len(h) else math.inf, rel_tol=1e-9):
            continue
        same(f"cut into {k}", got, renumbered(want))


def dbscan(run, case):
    args = ["--method", "dbscan", "--eps", repr(case["eps"]), "--min-samples", str(case["min_samples"]), "--members-out", run.path("core.csv")]
    said, _ = run.tool("density", *args)
    same("labels", run.read_labels(), case["labels"])
    same("core rows", [bool(r[0]) for r in run.read_rows("core.csv")], [bool(x) for x in case["core"]])
    same("noise", said["fit"]["noise_rows"], case["n_noise"])


def hdbscan(run, case):
    run.tool("density", "--method", "hdbscan", "--min-samples", str(case["min_samples"]), "--min-cluster-size", str(case["min_cluster"]))
    same("labels", run.read_labels(), case["labels"])


def metrics(run, case):
    rel = case["tol"]["rel"]
    labels = run.write_rows("given.csv", [[x] for x in case["labels"]])
    args = ["--labels", labels]
    if "truth" in case:
        args += ["--against", run.write_rows("truth.csv", [[x] for x in case["truth"]])]
    said = run.tool("select", *args, model=False)
    for name in ("silhouette", "silhouette_samples", "calinski_harabasz", "davies_bouldin"):
        if name in case:
            near(name, said[name], case[name], rel, 1e-12)
    names = {"ari": "adjusted_rand", "mutual_info_nats": "mutual_information", "nmi_arithmetic": "nmi_arithmetic", "nmi_geometric": "nmi_geometric",
             "ami": "adjusted_mutual_information", "homogeneity": "homogeneity", "completeness": "completeness", "rand": "rand",
             "fowlkes_mallows": "fowlkes_mallows"}
    for theirs, ours in names.items():
        if theirs in case:
            near(theirs, said["against"][ours], case[theirs], rel, 1e-12)


def pca(run, case):
    tol = case["tol"]
    said, model = run.tool("kmeans", "-k", "1", "--pca", str(case["n_components"]))
    fit, n = said["fit"], case["n_components"]
    near("mean", model["projection"]["mean"], case["mean"], 1e-9, 1e-9)
    near("components", model["projection"]["components"], case["components"], 0, tol["components_abs"])
    near("variances", fit["pca_variance"][:n], case["explained_variance"], tol["variance_rel"], 1e-12)
    if "all_variances" in case:
        near("all variances", fit["pca_variance"][: len(case["all_variances"])], case["all_variances"], tol["variance_rel"], 1e-12)
    total = sum(fit["pca_variance"])
    near("shares", [v / total for v in fit["pca_variance"][:n]], case["explained_variance_ratio"], tol["variance_rel"], 1e-12)


KINDS = {"kmeans": kmeans, "gmm": gmm, "hierarchical": hierarchical, "dbscan": dbscan, "hdbscan": hdbscan, "metrics": metrics, "pca": pca}


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 2
    folder, counts = sys.argv[1], {"passed": 0, "failed": 0, "skipped": 0}
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(".json"))
    except OSError as e:
        print(f"conformance: {e}", file=sys.stderr)
        return 3
    for name in names:
        why = ""
        try:
            with open(os.path.join(folder, name)) as f:
                case = json.load(f)
            check = KINDS.get(case.get("kind")) if isinstance(case, dict) else None
            if not check:
                outcome, why = "skipped", "no kind that is known"
            elif not os.path.exists(os.path.join(folder, case["data"])):
                outcome, why = "skipped", f"{case['data']} is not there"
            else:
                with tempfile.TemporaryDirectory() as work:
                    check(Run(folder, case, work), case)
                outcome = "passed"
        except Differs as e:
            outcome, why = "failed", str(e)
        except (ValueError, KeyError, OSError, subprocess.TimeoutExpired) as e:
            outcome, why = "failed", f"{type(e).__name__}: {e}"
        counts[outcome] += 1
        print(f"{outcome:8}{name}" + (f": {why}" if why else ""), flush=True)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
