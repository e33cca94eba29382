"""The core's metrics as components: every one takes (generated, context) and returns one number."""

from __future__ import annotations

import numpy as np

from genloom.data.samples import Samples
from genloom.errors import ConfigError, DataError
from genloom.metrics.c2st import two_sample_accuracy
from genloom.metrics.context import MetricContext
from genloom.metrics.frechet import frechet_distance
from genloom.metrics.inception import inception_score
from genloom.metrics.kid import kernel_distance
from genloom.metrics.mmd import mmd_rbf
from genloom.metrics.modes import ModeReport, mixture_modes
from genloom.metrics.neighbours import Neighbourhoods, nearest_neighbours, neighbourhoods
from genloom.metrics.sliced import sliced_wasserstein

__all__ = [
    "class_agreement",
    "coverage",
    "density",
    "fd_classifier32",
    "fd_pca20",
    "is_classifier32",
    "kid_pca20",
    "label_transfer",
    "mmd",
    "mode_kl",
    "mode_share",
    "modes",
    "nearest_train",
    "precision",
    "recall",
    "sliced_w2",
    "two_sample",
]


def fd_pca20(generated: Samples, context: MetricContext) -> float:
    """Fréchet distance to held-out data over 20 principal components."""
    return frechet_distance(context.embed("pca20", generated), context.embed("pca20", context.test))


def fd_classifier32(generated: Samples, context: MetricContext) -> float:
    """Fréchet distance to held-out data over the 32 hidden units of a classifier."""
    return frechet_distance(context.embed("classifier32", generated), context.embed("classifier32", context.test))


def kid_pca20(generated: Samples, context: MetricContext) -> float:
    """Unbiased cubic-kernel distance to held-out data over 20 principal components."""
    return kernel_distance(context.embed("pca20", generated), context.embed("pca20", context.test))


def mmd(generated: Samples, context: MetricContext) -> float:
    """Unbiased Gaussian-kernel distance to held-out data over 20 principal components."""
    return mmd_rbf(context.embed("pca20", generated), context.embed("pca20", context.test))


def sliced_w2(generated: Samples, context: MetricContext) -> float:
    """Squared sliced Wasserstein distance to held-out data over the values."""
    return sliced_wasserstein(context.values(generated), context.values(context.test), seed=context.seed)


def two_sample(generated: Samples, context: MetricContext) -> float:
    """Accuracy of a nearest-neighbour classifier that tells generated from held-out samples; 0.5 is best."""
    both = context.embed("pca20", generated), context.embed("pca20", context.test)
    return two_sample_accuracy(*both, classifier="neighbours", seed=context.seed)


def precision(generated: Samples, context: MetricContext) -> float:
    """Share of generated samples that look like some held-out one."""
    return _neighbourhoods(generated, context).precision


def recall(generated: Samples, context: MetricContext) -> float:
    """Share of held-out samples that look like some generated one."""
    return _neighbourhoods(generated, context).recall


def density(generated: Samples, context: MetricContext) -> float:
    """How densely generated samples lie among held-out ones; 1 for real data."""
    return _neighbourhoods(generated, context).density


def coverage(generated: Samples, context: MetricContext) -> float:
    """Share of held-out samples with a generated one in their neighbourhood."""
    return _neighbourhoods(generated, context).coverage


def nearest_train(generated: Samples, context: MetricContext) -> float:
    """Median distance to the nearest training sample, over that of held-out data.

    About 1 is new data, near 0 are copies, far above 1 are outliers.
    """
    held_out = context.once("nearest-train", lambda: _median_nearest(context.test.subset(500), context))
    if held_out == 0.0:
        raise DataError(_alike(context))
    return _median_nearest(generated, context) / held_out


def _alike(context: MetricContext) -> str:
    """Say what half of the held-out samples share with training samples: nothing tells new ones from copies."""
    features = context.modality.features
    shared = f"have the same {features} as" if features else "are copies of"
    return f"Held-out samples {shared} training samples, so memorised samples cannot be detected."


def class_agreement(generated: Samples, context: MetricContext) -> float:
    """Share of generated samples that a classifier gives the label they were asked to have."""
    predicted = context.classifier().predict(context.values(generated))
    return float((predicted == _labels(generated)).mean())


def label_transfer(generated: Samples, context: MetricContext) -> float:
    """Held-out accuracy of three nearest neighbours among the generated samples (Ravuri and Vinyals 2019)."""
    from sklearn.neighbors import KNeighborsClassifier

    if context.test.labels is None:
        raise ConfigError("The held-out samples have no labels.")
    model = KNeighborsClassifier(3).fit(context.values(generated), _labels(generated))
    return float((model.predict(context.values(context.test)) == context.test.labels).mean())


def is_classifier32(generated: Samples, context: MetricContext) -> float:
    """Inception-style score of the classifier: sure of each sample, all classes as likely."""
    return inception_score(context.classifier().probabilities(context.values(generated)))


def modes(generated: Samples, context: MetricContext) -> float:
    """Modes of the true mixture with a sample within three standard deviations."""
    return float(_modes(generated, context).modes)


def mode_share(generated: Samples, context: MetricContext) -> float:
    """Share of samples within three standard deviations of a mode."""
    return _modes(generated, context).share


def mode_kl(generated: Samples, context: MetricContext) -> float:
    """Reverse KL divergence of the modes' frequencies, in nats."""
    return _modes(generated, context).reverse_kl


def _modes(generated: Samples, context: MetricContext) -> ModeReport:
    mixture = context.density
    return context.once(("modes", generated), lambda: mixture_modes(generated.samples, mixture.centres, mixture.sigma))


def _neighbourhoods(generated: Samples, context: MetricContext) -> Neighbourhoods:
    def measure() -> Neighbourhoods:
        return neighbourhoods(context.embed("pca20", generated), context.embed("pca20", context.test))

    return context.once(("neighbourhoods", generated), measure)


def _median_nearest(samples: Samples, context: MetricContext) -> float:
    train = context.embed("values", context.train)
    return float(np.median(nearest_neighbours(context.values(samples), train)[1]))


def _labels(generated: Samples) -> np.ndarray:
    if generated.labels is None:
        raise ConfigError("These samples were drawn without labels.", mend="Use a class-conditional model.")
    return generated.labels
