"""A CLIP model of two small random towers, in a folder as the Hugging Face hub has them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from caltech_lab.embedding.torchvision_operators import define_missing_operators

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]},
}  # fmt: skip


def tiny_clip(folder: Path, suffix: str = ".safetensors", **preprocessing: object) -> Path:
    """Write configuration and weights into a folder, and return it."""
    define_missing_operators()
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | {"preprocess_cfg": CONFIG["preprocess_cfg"] | preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = open_clip.create_model(f"local-dir:{folder}", load_weights=False).state_dict()
        # As it comes, the tower sends all photos to nearly the same place.
        state = {name: torch.randn_like(values) * 0.3 for name, values in state.items()}
    if suffix == ".safetensors":
        save_file(state, folder / f"open_clip_model{suffix}")
    else:
        torch.save(state, folder / f"open_clip_pytorch_model{suffix}")
    return folder
