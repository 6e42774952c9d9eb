"""What a segmentor asks a picture for: its words, and what is of none of them."""

from collections.abc import Mapping
from typing import Any

from ...vocabulary import Background, Queries, Vocabulary, make_queries
from .settings import PredictSettings


class AskedMixin:
    """A segmentor's test settings; background and queries of its words under these."""
    settings: PredictSettings
    vocabulary: Vocabulary
    ignore_index: int

    @property
    def test_cfg(self) -> Mapping[str, Any]:
        """How the model tests; set, it is checked as by the constructor."""
        return self._test_cfg

    @test_cfg.setter
    def test_cfg(self, test_cfg: Mapping[str, Any] | None) -> None:
        self.settings = PredictSettings.of(test_cfg)
        self._test_cfg = dict(test_cfg or dict(mode='whole'))

    @property
    def background(self) -> Background | None:
        """What is of no category: as ``test_cfg`` says, or else the words."""
        return self.settings.background_of(self.vocabulary)

    @property
    def none_id(self) -> int | None:
        """int: The id of pixels of no category; None without a background."""
        rule = self.background
        return None if rule is None else rule.id_in(
            len(self.vocabulary), self.ignore_index)

    @property
    def queries(self) -> Vocabulary | Queries:
        """What a picture is asked for at test time, see ``make_queries``."""
        return make_queries(self.vocabulary, self.settings.synonyms,
                            self.background, self.none_id)
