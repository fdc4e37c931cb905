"""Explains the similarity of a query and a result by regions of the photos."""

from typing import TYPE_CHECKING

from caltech_lab.demo.results import Match, Query
from caltech_lab.demo.similarity_map import region_at, shares_of_the_cosine, similarity_to_region
from caltech_lab.embedding.backbones import feature_map
from caltech_lab.embedding.engines import Engine, compile_backbone
from caltech_lab.embedding.images import load_pixels, part_seen, read_photo
from caltech_lab.errors import ArgumentError

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


class Explainer:
    """Compares two photos region by region, with the feature maps of the backbone.

    The network for the maps is compiled at the first explanation. The maps explain the plain
    embeddings, whichever vectors the search uses.

    Parameters
    ----------
    lab : Lab
        The lab whose photos are the gallery.
    """

    def __init__(self, lab: "Lab") -> None:
        self.lab = lab
        self._engine: Engine | None = None

    @property
    def has_maps(self) -> bool:
        """Whether the backbone has a feature map to compare photos by."""
        return self.lab.backbone.grid > 0

    @property
    def is_compiled(self) -> bool:
        """Whether the network that computes feature maps is compiled."""
        return self._engine is not None

    def match(self, query: Query, row: int, point: tuple[float, float] | None = None) -> Match:
        """Explain the similarity of the query and a photo of the gallery by regions.

        Parameters
        ----------
        query : Query
            A query with a `photo`; of a query with several parts, the first one with a photo is
            explained.
        row : int
            Row of the other photo in the gallery.
        point : tuple of float, optional
            Position in the query's photo, from the left and from the top, 0 to 1. If given, the
            region there is compared with all regions of both photos.

        Returns
        -------
        Match
            Contributions to the cosine similarity, or similarities to the region.

        Raises
        ------
        ArgumentError
            When the query has no photo, or the backbone has no feature map.
        PhotoError
            When the other photo can no longer be read.
        """
        query = query.first
        if query.photo is None:
            raise ArgumentError("This query has no photo to be compared region by region.")
        if self._engine is None:
            self._engine = compile_backbone(feature_map(self.lab.backbone), self.lab.runtime)
        gallery = self.lab.embeddings
        photos = [query.photo, read_photo(gallery.photos.file(row))]
        size, fit = self.lab.backbone.size, self.lab.backbone.fit
        first, second = (self._engine.embed_one(load_pixels(photo, size, fit)) for photo in photos)
        seen, seen_of_result = (part_seen(*photo.size, size, fit) for photo in photos)
        cosine = float(gallery.X[row] @ query.vector)
        if point is None:
            shares = shares_of_the_cosine(first, second)
            return Match(*shares, seen, seen_of_result, cosine)
        left, top, right, bottom = seen
        x, y = (point[0] - left) / (right - left), (point[1] - top) / (bottom - top)
        region = region_at(x, y, first.shape)
        here, there = (similarity_to_region(first, region, other) for other in (first, second))
        return Match(here, there, seen, seen_of_result, cosine, region)
