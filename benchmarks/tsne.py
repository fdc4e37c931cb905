"""t-SNE: the lab's, by openTSNE, against scikit-learn's."""

import numpy as np
from common import alternate, arguments, compared, lab, save
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from caltech_lab.fast.tsne import tsne
from caltech_lab.settings import settings


def main() -> None:
    """Measure and save."""
    options = arguments(__doc__)
    X = lab(options.quick).embeddings.X
    reduced = PCA(50, random_state=0).fit_transform(X)

    def plain() -> TSNE:
        model = TSNE(perplexity=30, init="pca", random_state=0, n_jobs=settings().threads)
        model.fit(reduced)
        return model

    values, seconds = alternate(
        {"scikit-learn": plain, "the lab, openTSNE": lambda: tsne(reduced)}, options.rounds
    )
    rows = compared(seconds)
    theirs, ours = values.values()
    rows["scikit-learn"]["divergence"] = float(theirs.kl_divergence_)
    rows["the lab, openTSNE"]["divergence"] = float(ours.kl_divergence)
    maps = {"scikit-learn": theirs.embedding_, "the lab, openTSNE": np.asarray(ours)}
    some = np.random.default_rng(0).permutation(len(X))[:3000]
    for name, row in rows.items():
        row["trustworthiness"] = float(
            trustworthiness(reduced[some], maps[name][some], n_neighbors=10)
        )
        print(f"  {name}: KL {row['divergence']:.4f}, trust {row['trustworthiness']:.4f}")
    least, most = (rows[name]["divergence"] for name in rows)
    # A few hundred points leave the divergence to chance.
    assert most < (1.5 if options.quick else 1.05) * least
    save("tsne", {"n": len(X), "rows": rows}, options.quick)


if __name__ == "__main__":
    main()
