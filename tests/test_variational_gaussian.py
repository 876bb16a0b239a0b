"""Variational Bayes for mixtures of Gaussians: scikit-learn's steps, exact evidence, and a bound that never falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import multivariate_t
from sklearn.datasets import make_blobs
from sklearn.mixture import BayesianGaussianMixture as Theirs

from isthmus import BayesianGaussianMixture
from isthmus.mixtures import (
    GaussianPrior,
    divergence,
    expected_log_joint,
    fit_variational,
    moments_of,
    posterior_of,
    predictive_log_joint,
)
from isthmus.mixtures.variational_gaussian import expected_moments

RANDOM = np.random.RandomState(0)
X = np.concatenate([RANDOM.randn(60, 3) @ RANDOM.randn(3, 3) + 4, RANDOM.randn(80, 3) * 2])
ROWS = torch.from_numpy(X)
SHARES = RANDOM.dirichlet(np.full(4, 0.3), size=len(X))
KINDS = ("full", "tied", "diag", "spherical")
every_kind = pytest.mark.parametrize("kind", KINDS)
every_prior = pytest.mark.parametrize("process", [False, True], ids=["dirichlet", "process"])


def prior_of(kind: str, process: bool = False, concentration: float = 0.7) -> GaussianPrior:
    covariance = {"diag": np.var(X, axis=0, ddof=1), "spherical": np.var(X, axis=0, ddof=1).mean()}
    scatter = torch.as_tensor(covariance.get(kind, np.cov(X.T)))
    return GaussianPrior(concentration, 1.0, ROWS.mean(dim=0), 3.0, scatter, kind, process)


def theirs_of(kind: str, process: bool, shares: np.ndarray) -> Theirs:
    name = "dirichlet_process" if process else "dirichlet_distribution"
    settings = {"weight_concentration_prior": 0.7, "reg_covar": 0, "weight_concentration_prior_type": name}
    model = Theirs(n_components=shares.shape[1], covariance_type=kind, **settings)
    model._check_parameters(X, xp=np)
    model._initialize(X, shares)
    return model


@every_kind
@every_prior
def test_posteriors_are_scikit_learn_s_step_by_step(kind, process):
    prior, shares = prior_of(kind, process), SHARES
    for _ in range(5):
        posterior = posterior_of(moments_of(ROWS, torch.from_numpy(shares), kind), prior)
        model = theirs_of(kind, process, shares)
        for ours, known in (
            (posterior.means, model.means_),
            (posterior.covariances, model.covariances_),
            (posterior.mean_precision, model.mean_precision_),
            (posterior.degrees_of_freedom, model.degrees_of_freedom_),
            (posterior.concentration, np.array(model.weight_concentration_)),
        ):
            np.testing.assert_allclose(ours.numpy(), np.broadcast_to(known, ours.shape), rtol=1e-9, atol=1e-12)
        model._set_parameters(model._get_parameters())
        np.testing.assert_allclose(posterior.gaussians.weights, model.weights_, rtol=1e-9)
        joint = expected_log_joint(ROWS, posterior)
        if kind == "full":
            known = model._estimate_log_prob(X) + model._estimate_log_weights()
            np.testing.assert_allclose(joint, known, rtol=1e-9)
        elif kind == "tied":  # theirs is off by one number for all components, which no responsibility feels
            known = model._estimate_log_prob(X) + model._estimate_log_weights()
            assert np.ptp(joint.numpy() - known) < 1e-9
        shares = joint.softmax(dim=1).numpy()


@every_kind
def test_the_bound_of_one_component_is_the_evidence(kind):
    """By the chain rule: each row's predictive density, given those before it, all in closed form."""
    prior, one = prior_of(kind), torch.ones(len(X), 1, dtype=torch.float64)
    posterior = posterior_of(moments_of(ROWS, one, kind), prior)
    bound = expected_moments(ROWS, posterior, one[:, 0])[1] - divergence(posterior, prior)
    evidence = 0.0
    for n in range(len(X)):
        known = posterior_of(moments_of(ROWS[: max(n, 1)], one[: max(n, 1)] * (n > 0), kind), prior)
        evidence += float(predictive_log_joint(ROWS[n : n + 1], known))
    assert float(bound) == pytest.approx(evidence, rel=1e-10)


def test_the_evidence_of_one_number_by_quadrature():
    """The same without any formula of ours: mean and precision integrated out numerically."""
    rows = torch.tensor([[0.3], [-1.0], [1.4]], dtype=torch.float64)
    prior = GaussianPrior(1.0, 0.5, torch.zeros(1).double(), 2.0, torch.tensor([3.0]).double(), "diag", False)
    one = torch.ones(3, 1, dtype=torch.float64)
    posterior = posterior_of(moments_of(rows, one, "diag"), prior)
    bound = float(expected_moments(rows, posterior, one[:, 0])[1] - divergence(posterior, prior))

    def joint(mean: float, precision: float) -> float:
        density = 1.5**1.0 * precision**0.0 * np.exp(-1.5 * precision)  # Gamma(1, 3 / 2)
        for x, rate in ((mean, 0.5 * precision), *((float(x) - mean, precision) for x in rows[:, 0])):
            density *= np.sqrt(rate / (2 * np.pi)) * np.exp(-0.5 * rate * x**2)
        return density

    far = lambda precision: 2 + 8 / np.sqrt(precision)  # noqa: E731
    evidence = integrate.dblquad(joint, 0, 30, lambda p: -far(p), far, epsabs=1e-12, epsrel=1e-9)[0]
    assert bound == pytest.approx(np.log(evidence), abs=1e-7)


@every_kind
@every_prior
def test_the_bound_never_falls_and_stays_below_the_evidence_of_its_sum(kind, process):
    prior = prior_of(kind, process, 0.1)
    start = posterior_of(moments_of(ROWS, torch.from_numpy(SHARES), kind), prior)
    found = fit_variational(ROWS, start, prior, tolerance=1e-6, max_iter=200)
    assert found.largest_fall == 0
    assert np.diff(found.bounds).min() > -1e-12
    without = fit_variational(ROWS, start, prior, tolerance=1e-6, max_iter=200, prune=False)
    assert found.bounds[-1] >= without.bounds[-1]


def test_the_bound_is_below_the_evidence_where_all_assignments_can_be_counted():
    """Seven rows, two components: the evidence is a sum over 128 assignments, each in closed form."""
    rows = torch.from_numpy(np.concatenate([RANDOM.randn(4, 1), RANDOM.randn(3, 1) + 6]))
    prior = GaussianPrior(0.8, 0.3, rows.mean(dim=0), 2.0, torch.tensor([2.0]).double(), "diag", False)
    total = []
    for code in range(128):
        labels = torch.tensor([(code >> n) & 1 for n in range(7)])
        counts, terms = [0, 0], 0.0
        for n in range(7):
            k = int(labels[n])
            mine = rows[:n][labels[:n] == k]
            given = mine if len(mine) else rows[:1]
            shares = torch.full((len(given), 1), float(len(mine) > 0), dtype=torch.float64)
            terms += float(
                predictive_log_joint(rows[n : n + 1], posterior_of(moments_of(given, shares, "diag"), prior))
            )
            terms += np.log((0.8 + counts[k]) / (1.6 + n))
            counts[k] += 1
        total.append(terms)
    evidence = float(torch.tensor(total).logsumexp(0))
    shares = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 0, 1, 1, 1]), 2).double()
    start = posterior_of(moments_of(rows, shares, "diag"), prior)
    bound = 7 * fit_variational(rows, start, prior, tolerance=1e-10, max_iter=1000).bounds[-1]
    assert evidence - 2 < bound < evidence


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_what_is_predicted_is_a_density_of_student_s_t(kind):
    model = BayesianGaussianMixture(1, covariance_type=kind, random_state=0).fit(X)
    nu, beta = model.degrees_of_freedom_[0], model.mean_precision_[0]
    if kind == "full":
        freedom = nu + 1 - 3
        shape = model.covariances_[0] * nu / freedom * (1 + 1 / beta)
        exact = multivariate_t.logpdf(X, model.means_[0], shape, df=freedom)
    else:
        scales = model.covariances_[0] * (1 + 1 / beta)
        each = [multivariate_t.logpdf(X[:, f], model.means_[0, f], scales[f], df=nu) for f in range(3)]
        exact = np.sum(each, axis=0)
    np.testing.assert_allclose(model.score_samples(X), exact, rtol=1e-9)


@every_kind
def test_draws_have_the_moments_of_the_density(kind):
    model = BayesianGaussianMixture(3, covariance_type=kind, random_state=0).fit(X[:, :2])
    drawn, labels = model.sample(20_000, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=0), model.weights_ @ model.means_, atol=0.1)
    assert (np.diff(labels) >= 0).all()
    grid = np.stack(np.meshgrid(*(np.arange(-39.875, 40, 0.25),) * 2), axis=-1).reshape(-1, 2)
    cell = 0.25**2
    density = np.exp(model.score_samples(grid))
    assert density.sum() * cell == pytest.approx(1, abs=0.01)
    inside = (np.abs(drawn) < 2).all(axis=1).mean()
    assert density[(np.abs(grid) < 2).all(axis=1)].sum() * cell == pytest.approx(inside, abs=0.02)


@pytest.mark.parametrize("name", ["dirichlet_process", "dirichlet_distribution"])
def test_the_number_of_components_follows_the_concentration(name):
    """Data of scikit-learn's issue 8632, where ten decades of concentration change next to nothing."""
    random = np.random.RandomState(3)
    spread = [random.gamma(1.5) for _ in range(10)]
    rows = make_blobs(200, centers=10, random_state=random, cluster_std=spread)[0]
    used, settings = [], {"weight_concentration_prior_type": name, "random_state": 0, "max_iter": 50, "tol": 1e-3}
    for concentration in (1e-5, 1.0, 1e3):
        model = BayesianGaussianMixture(10, weight_concentration_prior=concentration, **settings).fit(rows)
        used.append(int((model.weights_ > 1e-3).sum()))
        assert np.diff(model.log_likelihoods_).min() > -1e-9
    assert used[0] < used[2] == 10
    assert used[0] <= 5
    assert used == sorted(used)


def test_superfluous_components_are_emptied():
    rows, labels = make_blobs(300, centers=[[0, 0], [5, 0], [0, 5]], cluster_std=0.5, random_state=5)
    model = BayesianGaussianMixture(9, random_state=0).fit(rows)
    assert (model.weights_ > 1e-2).sum() == 3
    pairs = {*zip(labels.tolist(), model.predict(rows).tolist(), strict=True)}
    assert len(pairs) == 3


@every_kind
@pytest.mark.parametrize("rows", ["constant", "equal", "few", "duplicates"])
def test_hard_rows(kind, rows):
    table = {
        "constant": np.column_stack([X, np.full(len(X), 7.0)]),
        "equal": np.full((20, 2), 3.0),
        "few": X[:4] @ RANDOM.randn(3, 9),
        "duplicates": np.repeat(X[:5], 10, axis=0),
    }[rows]
    model = BayesianGaussianMixture(3, covariance_type=kind, random_state=0, max_iter=100, tol=1e-3).fit(table)
    assert np.isfinite(model.score_samples(table)).all()
    assert np.isfinite(model.lower_bound_)
    np.testing.assert_allclose(model.predict_proba(table).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weight_concentration_prior": 0.0}, "weight_concentration_prior > 0"),
        ({"degrees_of_freedom_prior": 1.5}, r"degrees_of_freedom_prior > 2, got 1.5"),
        ({"mean_prior": [0.0]}, r"mean_prior as finite numbers of shape \(3,\), got shape \(1,\)"),
        ({"covariance_prior": -np.eye(3)}, r"a positive \(definite\) covariance_prior"),
        ({"covariance_prior": 1.0}, r"covariance_prior as finite numbers of shape \(3, 3\)"),
        ({"covariance_type": "round"}, "Expected covariance_type as one of"),
    ],
)
def test_priors_that_are_none(parameters, message):
    with pytest.raises(ValueError, match=message):
        BayesianGaussianMixture(2, **parameters).fit(X)


def test_priors_as_arrays_go_to_a_file_and_back(tmp_path):
    from isthmus import load

    model = BayesianGaussianMixture(2, mean_prior=np.zeros(3), covariance_prior=np.eye(3), random_state=0).fit(X)
    again = load(model.save(tmp_path))
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    np.testing.assert_allclose(again.fit(X).means_, model.means_)
