"""From pixels to unit vectors: images, backbones, engines, extraction."""
