"""Deep clustering on frozen embeddings: a small head learns to give neighbors the same cluster."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import kneighbors_graph

from caltech_lab.clustering.checks import check_k
from caltech_lab.errors import ArgumentError
from caltech_lab.storage.progress import progress

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]

HIDDEN = 256
BATCH = 512
LEARNING_RATE = 1e-3
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04
TEACHER_MOMENTUM = 0.99
SHARE_MOMENTUM = 0.9
BETA = 0.6  # in the mutual information: 1 allows empty clusters, 0.5 makes all equally large


class Heads(NamedTuple):
    """Clusters from several heads with different initializations.

    Attributes
    ----------
    labels : ndarray of int64, shape (heads, n)
        Cluster of each photo, per head.
    losses : ndarray of float64, shape (heads, steps)
        Training loss per step; the lower, the better a photo's cluster predicts its neighbors'.
    """

    labels: Ints
    losses: NDArray[np.float64]

    @property
    def best(self) -> Ints:
        """The labels of the head whose loss is lowest over the last tenth of the steps."""
        last = -max(self.losses.shape[1] // 10, 1)
        best: Ints = self.labels[self.losses[:, last:].mean(axis=1).argmin()]
        return best


def train_heads(
    X: NDArray[np.float32],
    k: int,
    *,
    n_neighbors: int = 25,
    heads: int = 4,
    steps: int = 300,
    seed: int = 0,
) -> Heads:
    """Train clustering heads on frozen embeddings without labels (TEMI).

    A photo and one of its nearest neighbors should get the same cluster. The loss is the negative
    pointwise mutual information between the student's prediction for one photo and the teacher's
    for the other; the teacher is a moving average of the student. Each pair is weighted by the
    teachers' probability that both photos share a cluster.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length; use a few hundred dimensions to keep it fast.
    k : int
        Number of clusters, 2 to n - 1.
    n_neighbors : int
        Number of neighbors from which pairs are drawn, 1 to n - 1.
    heads : int
        Number of heads, with different initializations.
    steps : int
        Number of training steps, with batches of at most 512 pairs.
    seed : int
        Seed of the initializations and of the pairs.

    Returns
    -------
    Heads
        Labels and losses; the same for the same seed on the same machine.

    Raises
    ------
    ArgumentError
        When `k` or `n_neighbors` is out of range.

    References
    ----------
    N. Adaloglou, F. Michels, H. Kalisch, M. Kollmann: Exploring the limits of deep image clustering
    using pretrained models. BMVC, 2023.
    """
    import torch

    n, d = X.shape
    check_k(k, n - 1)
    if not 1 <= n_neighbors < n:
        raise ArgumentError(
            f"n_neighbors must be between 1 and {n - 1} for this number of photos, "
            f"not {n_neighbors}."
        )
    random = torch.Generator().manual_seed(seed)
    photos = torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32))
    neighbors = torch.from_numpy(
        kneighbors_graph(X, n_neighbors).indices.reshape(n, n_neighbors).astype(np.int64)
    )
    student = [
        torch.randn(heads, d, HIDDEN, generator=random) / d**0.5,
        torch.randn(heads, HIDDEN, k, generator=random),
    ]
    teacher = [weights.clone() for weights in student]
    for weights in student:
        weights.requires_grad_()
    optimizer = torch.optim.AdamW(student, lr=LEARNING_RATE, weight_decay=1e-4)
    shares = torch.full((heads, 1, k), 1 / k)
    losses = np.zeros((heads, steps))
    for step in progress(range(steps), desc="Heads", unit="step"):
        batch = torch.randperm(n, generator=random)[:BATCH]
        drawn = torch.randint(n_neighbors, batch.shape, generator=random)
        pair = photos[batch], photos[neighbors[batch, drawn]]
        said = [_probabilities(student, x, STUDENT_TEMPERATURE) for x in pair]
        with torch.no_grad():
            taught = [_probabilities(teacher, x, TEACHER_TEMPERATURE) for x in pair]
            now = (taught[0] + taught[1]).mean(1, keepdim=True) / 2
            shares = SHARE_MOMENTUM * shares + (1 - SHARE_MOMENTUM) * now
            weight = (taught[0] * taught[1]).sum(-1).mean(0)
        information = _information(said[0], taught[1], shares)
        information = information + _information(said[1], taught[0], shares)
        loss = -(weight * information / 2).mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        with torch.no_grad():
            for slow, quick in zip(teacher, student, strict=True):
                slow.lerp_(quick, 1 - TEACHER_MOMENTUM)
        losses[:, step] = loss.detach().numpy()
    with torch.no_grad():
        parts = [_probabilities(teacher, part, 1).argmax(-1) for part in photos.split(BATCH)]
    return Heads(torch.cat(parts, dim=1).numpy(), losses)


def _probabilities(weights: "list[Tensor]", x: "Tensor", temperature: float) -> "Tensor":
    """Return the probability of each cluster, shape (heads, photos, k)."""
    from torch.nn.functional import normalize

    inner, outer = weights
    hidden = normalize((x @ inner).relu(), dim=-1)
    cosines = hidden @ normalize(outer, dim=1)
    return (cosines / temperature).softmax(-1)


def _information(said: "Tensor", taught: "Tensor", shares: "Tensor") -> "Tensor":
    """Return the mutual information of each pair, shape (heads, photos)."""
    return (((said * taught) ** BETA) / shares).sum(-1).clamp(min=1e-9).log()
