"""Training data whose random choices hang on seed and place alone.

Workers that load ahead have states of their own, which no checkpoint can know. Here
each sample is loaded with a seed made of the run's and of its place in the training, so
that a resumed run, another number of workers, or of processes with the same total
batch, augments every picture alike.
"""

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info, get_rank
from mmengine.runner.base_loop import BaseLoop
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler

from .random_state import seeded


class Place(int):
    """An index into a dataset that knows its place in the training.

    Args:
        index: The index.
        number: How many samples all processes take before it.
    """
    number: int

    def __new__(cls, index: int, number: int) -> 'Place':
        place = super().__new__(cls, index)
        place.number = number
        return place

    def __reduce__(self) -> tuple:
        return Place, (int(self), self.number)


class NumberedSampler(Sampler):
    """A sampler whose indices are ``Place`` s.

    Args:
        sampler: Config of the sampler.
        dataset: The dataset.
        seed: Of the sampler, the same in all processes.
    """

    def __init__(self, sampler: dict, dataset: Dataset, seed: int) -> None:
        self.sampler = DATA_SAMPLERS.build(
            sampler, default_args=dict(dataset=dataset, seed=seed))
        self.rank, self.processes = get_dist_info()
        self.epoch = 0

    def __iter__(self) -> Iterator[Place]:
        for number, index in enumerate(self.sampler, self.epoch * len(self)):
            yield Place(index, number * self.processes + self.rank)

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, which begins with the next iteration."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)


class EndlessNumberedSampler(NumberedSampler):
    """The same for a sampler without end, of which a resumed run skips a part."""

    start = 0

    def __iter__(self) -> Iterator[Place]:
        for number, index in enumerate(self.sampler):
            if number >= self.start:
                yield Place(index, number * self.processes + self.rank)

    def skip(self, num_samples: int) -> None:
        """Begin later.

        Args:
            num_samples: Of this process, from the start of the training.
        """
        self.start = num_samples


class NumberedDataset(Dataset):
    """A dataset that loads each ``Place`` with a seed of its own.

    Args:
        dataset: Config of the dataset.
        seed: Of the run, the same in all processes.
    """

    def __init__(self, dataset: dict, seed: int) -> None:
        self.dataset = DATASETS.build(dataset)
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Place) -> Any:
        with seeded(self.seed, place.number):
            return self.dataset[int(place)]

    @property
    def metainfo(self) -> dict:
        """Of the dataset."""
        return self.dataset.metainfo


def number_samples(dataloader: dict, seed: int) -> dict:
    """The config of a dataloader with dataset and sampler of this module.

    Args:
        dataloader: As for ``Runner.build_dataloader``; is not changed. What it builds
            its samplers from must be configs, else it is returned as it is.
        seed: The same in all processes.
    """
    dataset, sampler = dataloader.get('dataset'), dataloader.get('sampler')
    if not isinstance(dataset, dict) or not isinstance(sampler, dict):
        return dataloader
    kind = sampler['type']
    kind = DATA_SAMPLERS.get(kind) if isinstance(kind, str) else kind
    endless = isinstance(kind, type) and issubclass(kind, InfiniteSampler)
    return {**dataloader,
            'dataset': dict(type=NumberedDataset, dataset=dataset, seed=seed),
            'sampler': dict(type=EndlessNumberedSampler if endless
                            else NumberedSampler, sampler=sampler, seed=seed)}


class NumberedTrainingMixin:
    """A runner that trains on samples that know their places.

    Put it before MMEngine's class.
    """
    _train_dataloader: Any
    _randomness_cfg: dict
    seed: Any  # a property of the runner

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop as MMEngine does, on samples that know their places."""
        if isinstance(self._train_dataloader, dict):
            rank = get_rank() if self._randomness_cfg.get('diff_rank_seed') else 0
            self._train_dataloader = number_samples(self._train_dataloader,
                                                    self.seed - rank)
        return super().build_train_loop(loop)  # type: ignore[misc]
