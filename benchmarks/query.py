"""How long a person waits for the vector of one photo, beside the networks themselves.

`python benchmarks/query.py` measures it with photos of Caltech-101; `--quick`, on the sample.
"""

import io
import statistics

import numpy as np
from common import alternate, arguments, compared, lab, machine, save
from PIL import Image

from caltech_lab.embedding.architectures import IMAGENET_DEVIATIONS, IMAGENET_MEANS, models
from caltech_lab.embedding.backbones import Backbone, backbone
from caltech_lab.embedding.engines import OpenVinoEngine, choose_runtime, compile_backbone
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.embedding.images import load_pixels
from caltech_lab.embedding.views import FusedViews, chosen_views


def alone(network: Backbone):
    """Return what runs a network compiled for a batch of one, and nothing else, on given pixels."""
    engine = OpenVinoEngine(network, choose_runtime(network).precision)
    request = engine._compiled(1, PERFORMANCE_HINT="LATENCY").create_infer_request()
    return lambda pixels: request.infer([pixels[None]])[0][0]


def tutorial():
    """Return what a tutorial writes for one photo: torchvision's ResNet-50, eager, float32."""
    import torch
    from torchvision import transforms

    network = models.resnet50(weights=None).eval()  # the time is the same whatever the weights
    network.fc = torch.nn.Identity()
    means, deviations = (np.divide(v, 255).tolist() for v in (IMAGENET_MEANS, IMAGENET_DEVIATIONS))
    prepare = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224),
        transforms.ToTensor(), transforms.Normalize(means, deviations),
    ])  # fmt: skip

    def embed(content: bytes):
        photo = Image.open(io.BytesIO(content)).convert("RGB")
        with torch.inference_mode():
            return network(prepare(photo)[None])[0].numpy()

    return embed


def main() -> None:
    """Measure plain and learned queries in alternation with the networks alone."""
    options = arguments(__doc__)
    made = lab(options.quick)
    embeddings, rounds = made.embeddings, 3 if options.quick else 40
    chosen = np.random.default_rng(0).choice(len(embeddings), rounds, replace=False)
    engine, plain, eager = compile_backbone(made.backbone), alone(made.backbone), tutorial()
    fused, passes = FusedViews(), [view for group in chosen_views() for view in group]
    networks = {view.backbone: alone(backbone(view.backbone)) for view in passes}
    seconds: dict[str, list[float]] = {}
    cosines = []
    for row in [chosen[0], *chosen]:  # the first compiles, and is not counted
        content = embeddings.photos.file(int(row)).read_bytes()
        pixels = load_pixels(content, made.backbone.size, made.backbone.fit)
        sized = {view: load_pixels(content, view.size, view.fit) for view in passes}
        photo = Image.open(io.BytesIO(content)).convert("RGB")
        found, taken = alternate(
            {
                "network alone": lambda: plain(pixels),
                "plain query": lambda: embed_few([content], made.backbone, engine)[0],
                "networks alone": lambda: [networks[view.backbone](sized[view]) for view in passes],
                "learned query": lambda: fused.embed([photo])[0],
                "torchvision, eager": lambda: eager(content),
            },
            1,
        )
        cosines.append(float(found["plain query"] @ embeddings.X[row]))
        for name, (value,) in taken.items():
            seconds.setdefault(name, []).append(value)
    counted = {name: values[1:] for name, values in seconds.items()}
    # The ratio of a query to its networks is the median of the ratios photo by photo.
    parts = list(counted)
    tables = {
        "plain": compared({name: counted[name] for name in (parts[0], parts[1], parts[4])}),
        "learned": compared({name: counted[name] for name in parts[2:4]}),
    }
    print(f"cosine to the kept embedding: least {min(cosines):.6f}")
    assert min(cosines) >= 0.9999, "a query must have the vector that its photo has in the gallery"
    save(
        "query",
        {
            "engine": str(choose_runtime(made.backbone)), "n_photos": rounds,
            "passes": [view.name for view in passes], "cosine_least": min(cosines),
            "cosine_median": statistics.median(cosines), **tables,
        },
        options.quick,
    )  # fmt: skip
    print(machine())


if __name__ == "__main__":
    main()
